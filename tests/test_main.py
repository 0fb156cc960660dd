from __future__ import annotations

from pathlib import Path

from include.runtime.settings import REPO
from tests.__main__ import SOAKING, WORKERS, Part, _run, stages
from tests.conftest import part as part_of

PASSES = "def test_it(): pass\n"
FLAKY = """from pathlib import Path
def test_it():
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""
FAILS = "def test_it(): assert False\n"
LONG = "import pytest\n@pytest.mark.soak\ndef test_it(): assert False\n"


def part(folder: Path, name: str, text: str, *arguments: str, yields: bool = False) -> Part:
    own = folder / name
    own.mkdir()
    (folder / "memory").mkdir(exist_ok=True)
    (own / "test_it.py").write_text(text)
    shared = f"--rootdir={own}", "-c", str(REPO / "pyproject.toml"), "-p", "tests.conftest", "-q"
    return Part(name, [*shared, *arguments, str(own)], folder / "memory", yields=yields)


def test_what_fails_beside_others_and_passes_alone_is_flaky_and_passes(tmp_path: Path, capfd) -> None:
    assert _run([[(part(tmp_path, "whole", PASSES),), (part(tmp_path, "shaky", FLAKY),)]]) == 0
    assert "Flaky: failed beside others, passed alone. Mend them:\ntest_it.py::test_it\n" in capfd.readouterr().out


def test_what_a_part_took_is_told_by_folder(tmp_path: Path) -> None:
    part = Part("other tests", [*WORKERS], tmp_path)
    cases = (
        ("tests.include.gates.test_gate", 20.4),
        ("tests.include.gates.test_chat", 9.8),
        ("tests.plugins.lifecycle.api.test_input", 60),
    )
    rows = "".join(f'<testcase classname="{name}" name="test" time="{seconds}"/>' for name, seconds in cases)
    (tmp_path / "other-tests.xml").write_text(f"<testsuites><testsuite>{rows}</testsuite></testsuites>")
    part.seconds = 60.0
    assert part.told() == "other tests: 1.0 minutes, 50% of them in tests; seconds by folder: plugins.lifecycle 60, include.gates 30"


def test_a_part_that_has_left_no_times_is_told_all_the_same(tmp_path: Path) -> None:
    assert Part("journeys", [], tmp_path).told() == "journeys: 0.0 minutes, 0% of them in tests; seconds by folder: none"


def test_what_fails_alone_too_fails_whatever_comes_after_it(tmp_path: Path, capfd) -> None:
    assert _run([[(part(tmp_path, "broken", FAILS),)], [(part(tmp_path, "whole", PASSES),)]]) == 1
    assert "No test is flaky." in capfd.readouterr().out


def test_a_long_test_is_not_begun_when_there_is_no_time_left(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("UPDRAFT_TESTS_END", "0")
    assert _run([[(part(tmp_path, "long", LONG),)]]) == 0
    assert "no time before UPDRAFT_TESTS_END" in capfd.readouterr().out
    monkeypatch.setenv("UPDRAFT_TESTS_END", "inf")
    assert _run([[(part(tmp_path, "late", LONG),)]]) == 1


def test_every_test_is_in_one_part(tmp_path: Path) -> None:
    ((journeys, computing), (others,)), ((long,),) = stages([], tmp_path)
    assert journeys._arguments[-3:] == ["tests/journey", "-m", "not soak"] and long._arguments[-2:] == ["-m", "soak"]
    marked = [path.relative_to(REPO) for path in (REPO / "tests").rglob("test_*.py") if "@pytest.mark.soak" in path.read_text()]
    assert marked and all(any(path.is_relative_to(folder) for folder in SOAKING) for path in marked if path.name != "test_main.py")
    begun = {argument for argument in (*journeys._arguments, *computing._arguments) if argument.startswith("tests/")}
    assert {argument.removeprefix("--ignore=") for argument in others._arguments if argument.startswith("--ignore=")} == begun
    assert "tests" in others._arguments and all((REPO / folder).is_dir() for folder in begun)
    assert computing._arguments[-2:] == others._arguments[-2:] == ["-m", "not soak"]


def test_what_yields_to_others_has_less_weight_and_is_silent_until_it_ends(tmp_path: Path, capfd) -> None:
    weighed = """import os
from pathlib import Path
def test_it():
    assert os.getpriority(os.PRIO_PROCESS, 0) == 10
    group = Path("/proc/self/autogroup")
    assert not group.exists() or group.read_text().split()[-1] == "10"
"""
    assert _run([[(part(tmp_path, "plain", PASSES), part(tmp_path, "behind", weighed, yields=True))]]) == 0
    assert capfd.readouterr().out.count("1 passed") == 2


def test_large_folders_are_shared_out_by_their_first_two_names_but_for_some() -> None:
    assert part_of("tests/include/serving/kubernetes/test_host.py::test_it") == "include/serving"
    assert part_of("tests/include/steps/test_train.py::test_it") == "include/steps"
    assert part_of("tests/include/steps/llm/test_llm_train.py::test_it") == "include/steps/llm"
