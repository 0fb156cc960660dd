"""A model's own packages: what a requirements.txt may say, and layers made of real wheels by the real uv, without an index."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.kinds.table.kind import TableModel
from include.runtime import install, layers
from include.runtime.settings import REPO, Settings
from include.spec.problem import SpecError
from tests.include.runtime.wheels import wheel
from tests.include.targets.asked import Asked
from tests.waiting import until

LOCKED = layers.locked("trainer")


def wrong(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.what) for one in layers.parse(text)[1]]


def test_pins_are_read_with_comments_extras_markers_and_hashes() -> None:
    text = "# ours\nFoo_Bar[x]==1.0  # why\n\nbaz == 2.1.post1 ; python_version > '3'\nqux==3 \\\n  --hash=sha256:" + "0" * 64 + "\n"
    pins, faults = layers.parse(text)
    assert not faults
    assert [(pin.name, pin.version, pin.line) for pin in pins] == [("foo-bar", "1.0", 2), ("baz", "2.1.post1", 4), ("qux", "3", 5)]


@pytest.mark.parametrize(
    ("line", "number", "said"),
    [
        ("requests", 2, "is not pinned"),
        ("requests>=2", 2, "is not pinned"),
        ("requests==2.*", 2, "is not pinned"),
        ("-r other.txt", 2, "is no package of an index"),
        ("--extra-index-url https://elsewhere.example/simple", 2, "is no package of an index"),
        ("git+https://example.org/x.git", 2, "is no package of an index"),
        ("x @ https://example.org/x-1-py3-none-any.whl", 2, "is no package of an index"),
        ("x==1 --hash=md5:00", 2, "has a hash that is no sha256"),
        ("a==1\nA==1", 3, "a stands in line 2 already"),
    ],
)
def test_what_is_no_pin_is_named_by_its_line(line: str, number: int, said: str) -> None:
    [(found, what)] = wrong(f"# first\n{line}\n")
    assert said in what and found == number


def test_of_many_wrong_lines_the_first_are_told() -> None:
    assert len(wrong("x\n" * 5000)) == layers.MOST_WRONG


def test_a_line_of_blanks_takes_no_time_to_speak_of() -> None:
    begun = time.process_time()
    assert wrong("a" + " " * 60_000 + "x\n") == [(1, "`a x` is not pinned.")]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("put", [lambda path, other: path.symlink_to(other), lambda path, other: os.mkfifo(path)])
def test_nothing_is_read_through_a_link_or_from_a_pipe(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    """A link's target would stand in the words of the fault, which viewers read."""
    (tmp_path / "elsewhere").write_text('{"password": "secret"}')
    put(tmp_path / layers.FILE, tmp_path / "elsewhere")
    [one] = layers.faults(tmp_path, ["trainer"])
    assert one.what == "is a link, or no plain file."
    with pytest.raises(InputError, match="no plain file"):
        layers.layered("trainer", tmp_path)
    own = Asked(tmp_path, "quick")
    put(own.folder / layers.FILE, tmp_path / "elsewhere")
    with pytest.raises(SpecError, match="no plain file"):
        load(own.folder / "model.yaml")


def test_a_package_that_the_runtime_has_in_another_version_is_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / layers.FILE).write_text(f"humanize==4.9.0\npandas==1.5.0\nnumpy=={LOCKED['numpy']}\n")
    [one] = layers.faults(tmp_path, ["trainer"])
    assert one.line == 2 and one.what == f"asks for pandas==1.5.0, and runtime trainer has pandas=={LOCKED['pandas']}."
    with pytest.raises(InputError, match=r"requirements.txt:2: asks for pandas==1.5.0"):
        layers.layered("trainer", tmp_path)


def test_the_check_of_a_spec_names_the_line(tmp_path: Path) -> None:
    own = Asked(tmp_path, "quick")
    (own.folder / layers.FILE).write_text("\nhumanize>=4\npandas==1.5.0\n")
    with pytest.raises(SpecError) as refused:
        load(own.folder / "model.yaml")
    assert "requirements.txt:2" in str(refused.value) and "is not pinned" in str(refused.value)
    assert "requirements.txt:3" in str(refused.value) and f"runtime trainer has pandas=={LOCKED['pandas']}" in str(refused.value)


def test_a_machine_without_the_lock_says_so_and_the_check_of_a_spec_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Asked(tmp_path, "quick")
    (own.folder / layers.FILE).write_text("humanize==4.9.0\n")
    monkeypatch.delitem(install.RUNTIMES, "trainer")
    said = r"asks for packages, and the lock of runtime trainer is not on this machine. Copy docker/trainer/requirements.lock here"
    with pytest.raises(InputError, match=said):
        layers.layered("trainer", own.folder)
    with pytest.raises(SpecError, match=r"requirements\.txt.*" + said):
        load(own.folder / "model.yaml")


def test_every_step_s_runtime_is_held_against_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Target.submit has a layer on each."""
    own = Asked(tmp_path, "quick")
    (own.folder / layers.FILE).write_text("humanize==4.9.0\n")
    asked: list[str] = []

    def runtimes(kind: TableModel, step: str, spec: object) -> tuple[str, ...]:
        return ("tensorrt", "trainer") if step == "verify" else ("trainer",)

    monkeypatch.setattr(TableModel, "runtimes", runtimes)
    monkeypatch.setattr(layers, "faults", lambda folder, names: asked.extend(names) or [])
    load(own.folder / "model.yaml")
    assert asked == ["tensorrt", "trainer"]


def test_a_layer_is_known_by_its_pins_in_any_order_and_by_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layers.layered("trainer", tmp_path) == "trainer"
    file = tmp_path / layers.FILE
    file.write_text("# nothing yet\n")
    assert layers.layered("trainer", tmp_path) == "trainer"
    found = []
    for text in ("a==1\nb==2\n", "b==2\n\na==1 # so\n", "a==1\nb==3\n"):
        file.write_text(text)
        found.append(layers.layered("trainer", tmp_path))
    assert found[0] == found[1] != found[2] and found[0].startswith("trainer+")
    monkeypatch.setattr(layers, "_lock", lambda runtime: "other==1")
    assert layers.layered("trainer", tmp_path) != found[2]


@pytest.mark.parametrize(
    ("said", "line", "what"),
    [
        (
            "Because nosuch was not found in the package registry and you require nosuch==1.0, we can conclude that",
            1,
            "is in no package index",
        ),
        (
            "Because there is no version of humanize==99.0 and you require humanize==99.0, we can conclude that your",
            2,
            "has no such version",
        ),
        (
            "Because you require numpy==2.5.0 and numpy==2.4.6, we can conclude that your requirements are unsatisfiable.",
            3,
            "can't stand beside",
        ),
        ("Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude that", 4, "comes as source only"),
        (
            "Because the requested Python version (>=3.11) does not satisfy Python>=3.13 and newer==1 depends on Python>=3.13,",
            5,
            "another Python",
        ),
    ],
)
def test_what_uv_says_is_told_by_line(tmp_path: Path, said: str, line: int, what: str) -> None:
    pins, _ = layers.parse("nosuch==1.0\nhumanize==99.0\nnumpy==2.5.0\ndocopt==0.6.2\nnewer==1\n")
    error = layers.explained(
        f"error: No solution found when resolving dependencies\n  cause: {said}\n\nhint: x\n", pins, "trainer", tmp_path
    )
    assert isinstance(error, InputError) and error.where.endswith(f"requirements.txt:{line}") and what in error.what and error.remedy


def test_an_index_that_is_away_may_be_back() -> None:
    said = "error: Request failed after 3 retries in 7.6s\n  cause: Failed to fetch: http://127.0.0.1:9/x/\n  cause: tcp connect error"
    assert isinstance(layers.explained(said, [], "trainer", Path("m")), ComponentError)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in the place of every index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "drinks", "1.0", "glasses>=2")
    wheel(folder, "glasses", "2.5")
    wheel(folder, "olden", "1.0", "pandas<2")
    wheel(folder, "newer", "1.0", python=">=3.13")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


def made(tmp_path: Path, text: str) -> Path:
    """The folder of the layer that a model with these requirements asks for."""
    model, settings = tmp_path / "model", Settings.load()
    model.mkdir(exist_ok=True)
    (model / layers.FILE).write_text(text)
    name = layers.layered("trainer", model)
    folder = tmp_path / "layers" / name.replace(layers.MARK, "-")
    layers.make(name, model, folder, settings.python("trainer"))
    return folder


def python(folder: Path, code: str) -> str:
    return subprocess.run([str(folder / "bin" / "python"), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_layer_finds_its_own_packages_and_the_runtimes(tmp_path: Path, index: Path) -> None:
    folder = made(tmp_path, f"drinks==1.0\nnumpy=={LOCKED['numpy']}\n")
    said = python(
        folder, "import drinks, glasses, skops, importlib.metadata as m; print(drinks.VERSION, glasses.VERSION, m.version('skops'))"
    )
    assert said == f"1.0 2.5 {LOCKED['skops']}"
    assert sorted(path.name for path in folder.glob("lib/python*/site-packages/numpy*")) == []
    before = hashlib.sha256((folder / layers.STAMP).read_bytes()).hexdigest()
    stat = (folder / "bin").stat().st_mtime_ns
    assert made(tmp_path, f"numpy=={LOCKED['numpy']}\ndrinks==1.0\n") == folder
    assert (folder / "bin").stat().st_mtime_ns == stat and hashlib.sha256((folder / layers.STAMP).read_bytes()).hexdigest() == before
    assert all(path.stat().st_mode & 0o044 for path in folder.rglob("*.py"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drinks==1.0\nolden==1.0\n", ("requirements.txt:2", "olden can't stand beside what runtime trainer has", "pandas")),
        ("newer==1.0\n", ("requirements.txt:1", "newer needs another Python", "supports Python 3.11")),
        ("\nmissing==1.0\n", ("requirements.txt:2", "missing has no such version", "Name a version")),
        ("drinks==7.0\n", ("requirements.txt:1", "drinks has no such version", "Name a version")),
    ],
)
def test_what_can_not_be_had_is_an_error_of_the_file(tmp_path: Path, index: Path, text: str, said: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as refused:
        made(tmp_path, text)
    assert all(part in str(refused.value) for part in said), str(refused.value)
    assert not list((tmp_path / "layers").glob("*/bin"))


def test_a_layer_whose_install_was_killed_is_made_anew(tmp_path: Path, index: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / layers.FILE).write_text("drinks==1.0\n")
    name = layers.layered("trainer", model)
    folder = tmp_path / "layers" / name.replace(layers.MARK, "-")
    code = (
        f"from pathlib import Path; from include.runtime import layers; layers.make({name!r}, Path({str(model)!r}), Path({str(folder)!r}), "
    )
    code += f"Path({str(Settings.load().python('trainer'))!r}))"
    maker = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPO)}, start_new_session=True)
    until((folder / "pyvenv.cfg").exists, 30)
    os.killpg(maker.pid, signal.SIGKILL)
    maker.wait()
    (folder / layers.STAMP).unlink(missing_ok=True)
    (folder / "half").write_text("left")
    assert made(tmp_path, "drinks==1.0\n") == folder
    assert (folder / layers.STAMP).exists() and not (folder / "half").exists()
    assert python(folder, "import drinks; print(drinks.VERSION)") == "1.0"


def test_no_code_of_a_package_runs_while_it_is_installed(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs the lines of ``.pth`` files that begin with ``import`` as it starts, whatever it is started for."""
    ran = tmp_path / "ran"
    code = f"import os; open({str(ran)!r}, 'w').write(os.environ.get('OF_THE_PLATFORM', 'in a step'))\n"
    wheel(index, "sly", "1.0", beside={"sly.pth": code, "broken.py": "def"})
    monkeypatch.setenv("OF_THE_PLATFORM", "secret")
    folder = made(tmp_path, "sly==1.0\n")
    assert not ran.exists()
    assert list(folder.glob("lib/python*/site-packages/__pycache__/sly.*.pyc")), "compiled all the same"
    monkeypatch.delenv("OF_THE_PLATFORM")
    assert python(folder, "import sly; print(sly.VERSION)") == "1.0" and ran.read_text() == "in a step"


def test_a_stated_hash_is_held_to(tmp_path: Path, index: Path) -> None:
    right = hashlib.sha256(next(index.glob("glasses-*.whl")).read_bytes()).hexdigest()
    folder = made(tmp_path, f"glasses==2.5 --hash=sha256:{'0' * 64} --hash=sha256:{right}\n")
    assert python(folder, "import glasses; print(glasses.VERSION)") == "2.5"
    with pytest.raises(InputError, match=r"requirements.txt:1: no file of glasses==2.5 has a hash that stands there"):
        made(tmp_path, f"glasses==2.5 --hash=sha256:{'0' * 64}\n")


def test_packages_that_have_changed_since_are_not_made_under_the_old_name(tmp_path: Path, index: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / layers.FILE).write_text("drinks==1.0\n")
    name = layers.layered("trainer", model)
    (model / layers.FILE).write_text("glasses==2.5\n")
    with pytest.raises(InputError, match="has changed since the step was asked for"):
        layers.make(name, model, tmp_path / "layer", Settings.load().python("trainer"))
    assert not (tmp_path / "layer").exists()
