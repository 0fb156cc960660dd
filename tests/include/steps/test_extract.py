"""The step `extract`: a function's or a file's data as one table, and what is said of data that won't do."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.requests import request_of
from include.kinds.table.steps.extract import run
from include.runtime.settings import REPO, Settings
from include.steps.context import StepContext

SPEC = "name: wine\ntask: classification\ndata: {source: '%s', target: kind}\n"
GOOD = """
import pandas as pd
def load():
    return pd.DataFrame({'a': range(20), 'b': ['x', 'y'] * 10, 'kind': [0, 1] * 10}, index=range(5, 25))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "wine"
    folder.mkdir()
    (folder / "train.py").write_text("def train(X, y, params): ...\n")
    (folder / "expectations.yaml").touch()
    yield folder
    sys.modules.pop("data", None)  # each step has a process of its own; these tests share one


@pytest.fixture
def extract(folder: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def extract(source: str = "data:load", **params: Any) -> dict[str, Any]:
        (folder / "model.yaml").write_text(SPEC % source)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        sys.modules.pop("data", None)
        return run(StepContext(request_of(folder / "model.yaml", "extract", params=params), out))

    return extract


Extract = Callable[..., dict[str, Any]]


def test_a_function_s_table_is_written_without_its_index(extract: Extract, folder: Path) -> None:
    (folder / "data.py").write_text(GOOD)
    result = extract()
    table = pd.read_parquet(result["table"])
    assert (result["rows"], list(table.columns), list(table.index[:2])) == (20, ["a", "b", "kind"], [0, 1])
    assert result["columns"] == {"a": "int64", "b": "object", "kind": "int64"}


def test_the_same_data_is_the_same_bytes(extract: Extract, folder: Path) -> None:
    (folder / "data.py").write_text(GOOD)
    first = Path(extract()["table"]).read_bytes()
    assert Path(extract()["table"]).read_bytes() == first


def test_a_file_is_copied_byte_for_byte(extract: Extract, folder: Path) -> None:
    content = "a,kind\r\n" + "".join(f"{n}.50,{n % 2}\r\n" for n in range(20))
    (folder / "wine.csv").write_bytes(content.encode())
    result = extract("wine.csv")
    assert Path(result["table"]).name == "table.csv" and Path(result["table"]).read_bytes() == content.encode()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_run_may_name_another_file(extract: Extract, folder: Path, absolute: bool) -> None:
    (folder / "data.py").write_text("def load(): raise AssertionError('not this one')\n")
    pd.DataFrame({"a": range(30), "kind": [0, 1] * 15}).to_parquet(folder / "other.parquet")
    result = extract(data_source=str(folder / "other.parquet") if absolute else "other.parquet")
    assert (result["rows"], Path(result["table"]).name) == (30, "table.parquet")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def load(): raise ValueError('no network')\n", "load() raised ValueError: no network"),
        ("def load(): raise SystemExit(3)\n", "raised SystemExit: 3"),
        ("import nowhere\ndef load(): ...\n", "importing data.py raised ModuleNotFoundError: No module named 'nowhere'"),
        ("def load(): return [1]\n", "returned list, not a DataFrame."),
        ("def load(): pass\n", "returned NoneType, not a DataFrame."),
        (GOOD.replace("'kind'", "'kinds'"), "data.target: the data has no column 'kind'. Did you mean 'kinds'?"),
        (GOOD.replace("['x', 'y'] * 10", "[{'n': 1}] * 20"), "mixes types"),
        (GOOD.replace("[0, 1] * 10", "[None] * 20"), "target 'kind': is missing in 20 row(s), first 1, 2, 3, 4, 5."),
    ],
)  # fmt: skip
def test_a_function_that_fails_is_explained_and_leaves_no_table(
    extract: Extract, folder: Path, tmp_path: Path, code: str, expected: str
) -> None:
    (folder / "data.py").write_text(code)
    with pytest.raises(InputError) as caught:
        extract()
    assert expected in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("source", "content", "expected"),
    [
        ("gone.csv", None, "gone.csv: can't be read: No such file or directory."),
        ("t.csv", b"", "t.csv: is empty."),
        ("t.csv", b"a,kind\n", "a header and no rows"),
        ("t.csv", b"a,kind\n1,2\n", "1 row(s) are too few"),
        ("t.csv", b"a,kind\n1,\xe9\n", "t.csv:2: is not UTF-8: byte 0xe9 at offset 9."),
        ("t.xlsx", b"x", ".xlsx is no table."),
    ],
)
def test_a_runs_file_that_won_t_do_is_named(
    extract: Extract, folder: Path, tmp_path: Path, source: str, content: bytes | None, expected: str
) -> None:
    (folder / "data.py").write_text(GOOD)
    if content is not None:
        (folder / source).write_bytes(content)
    with pytest.raises(InputError) as caught:
        extract(data_source=source)
    assert expected in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("model", "rows"), [("digits", 1797), ("diabetes", 442)])
def test_the_shipped_models_are_extracted_in_the_runtime_of_training(tmp_path: Path, model: str, rows: int) -> None:
    request_of(REPO / "include" / "models" / model / "model.yaml", "extract").save(tmp_path)
    subprocess.run([Settings.load().python("trainer"), "-m", "include.steps", str(tmp_path)], cwd=REPO, check=True)
    assert json.loads((tmp_path / "result.json").read_text())["rows"] == rows
