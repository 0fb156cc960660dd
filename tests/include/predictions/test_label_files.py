"""Files of labels: what they stand for, and what is wrong with them by line; told whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from include.errors import InputError
from include.predictions import __main__ as command
from include.predictions.known import moment
from include.predictions.label_files import read_labels
from include.runtime.airflow_api import Refused


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_csv_has_numbers_truth_values_and_texts(tmp_path):
    path = written(tmp_path, "l.csv", "id,label,note\na,3,x\nb,2.5,\nc,true,\nd,red,\ne,nan,\n")
    assert [row["label"] for row in read_labels(path).values()] == [3, 2.5, True, "red", "nan"]
    assert [row["label"] for row in read_labels(path, texts=True).values()] == ["3", "2.5", "true", "red", "nan"]


def test_json_lines_and_parquet_have_types_of_their_own(tmp_path):
    rows = [{"id": "a", "label": "3"}, {"id": "b", "label": "4"}]
    lines = written(tmp_path, "l.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    pd.DataFrame(rows).to_parquet(tmp_path / "l.parquet")
    assert read_labels(lines) == read_labels(tmp_path / "l.parquet") == dict(enumerate(rows, 1))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.txt", "", "by its name"),
        ("l.csv", "", "holds no label"),
        ("l.csv", "id\na\n", "line 2"),
        ("l.csv", "id,label\na,1\nb,\n", "line 3"),
        ("l.jsonl", '{"id": "a", "label": 1}\n{', "line 2"),
        ("l.jsonl", '{"id": "a", "label": [1]}', "line 1"),
        ("l.jsonl", "1", "line 1"),
        ("l.parquet", "PAR1", "can't be read"),
    ],
)
def test_what_is_no_such_table_is_told_with_its_line(tmp_path, name, text, said):
    with pytest.raises(InputError, match=said):
        read_labels(written(tmp_path, name, text))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_plain_file_is_not_read(tmp_path, make):
    make(tmp_path / "l.csv")
    with pytest.raises(InputError, match=r"l\.csv: can't be read"):
        read_labels(tmp_path / "l.csv")


class Airflow:
    """Answers as the route does; ``wrong`` ids are refused, and more than ``most`` labels."""

    def __init__(self, wrong: set[str], most: int = 10_000) -> None:
        self.wrong, self.most, self.calls = wrong, most, list[tuple[bool, int]]()

    def post(self, path: str, body: dict) -> dict[str, int]:
        if len(body["labels"]) > self.most:
            raise Refused("refused", 413, "too many files", {}, where=path)
        self.calls.append((body["check"], len(body["labels"])))
        faults = [
            {"line": line, "id": one["id"], "fault": "is odd."} for line, one in enumerate(body["labels"], 1) if one["id"] in self.wrong
        ]
        if faults:
            raise Refused("refused", 422, "wrong", {"faults": faults}, where=path)
        return {"new": len(body["labels"]), "corrected": 0, "same": 0, "unlogged": 0}


@pytest.fixture
def tell(tmp_path, monkeypatch):
    def act(wrong: set[str], count: int = 5, most: int = 10_000) -> tuple[Airflow, int]:
        airflow = Airflow(wrong, most)
        monkeypatch.setattr(command, "service", lambda settings: airflow)
        monkeypatch.setattr(command, "MOST_LABELS", 2)
        path = written(tmp_path, "l.csv", "id,label\n" + "".join(f"i{number},1\n" for number in range(count)))
        return airflow, command.main(["labels", "wine", str(path)])

    return act


def test_a_long_file_is_looked_at_whole_before_any_of_it_is_kept(tell, capsys):
    airflow, code = tell(set())
    assert code == 0 and airflow.calls == [(True, 2), (True, 2), (True, 1), (False, 2), (False, 2), (False, 1)]
    assert capsys.readouterr().out == "new: 5, corrected: 0, same: 0, unlogged: 0\n"


def test_labels_of_too_many_hours_are_told_in_smaller_parts(tell, capsys):
    airflow, code = tell(set(), count=3, most=1)
    assert code == 0 and airflow.calls == [(True, 1)] * 3 + [(False, 1)] * 3
    assert capsys.readouterr().out.startswith("new: 3,")


def test_all_that_is_wrong_is_told_by_the_files_lines_and_nothing_is_kept(tell, capsys):
    airflow, code = tell({"i1", "i4"})
    said = capsys.readouterr().err
    assert code == 2 and all(check for check, _ in airflow.calls)
    assert "2 labels are wrong, and none is kept" in said and "line 3: i1 is odd." in said and "line 6: i4 is odd." in said


def test_an_id_of_a_year_that_no_calendar_has_is_no_logged_requests():
    assert moment("ffffffff-ffff-7fff-8fff-ffffffffffff") is None
