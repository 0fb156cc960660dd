"""Labelled rows in what a model learns from, and on which side of the split they are."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from include.data.origin import CHOSEN, LABELLED, ORIGIN, PRODUCTION, SOURCE
from include.kinds.load import contradictions, load
from include.kinds.rows.split import held_out, sides
from include.kinds.table.labelled import labelled
from include.kinds.table.production import added
from include.spec.document import dotted
from include.spec.problem import SpecError
from include.spec.schema import ModelSpec

FRAME = pd.DataFrame({"a": [0.5 + n for n in range(20)], "n": [1, 2] * 10, "kind": [0, 1] * 10, "note": ["old"] * 20})


def spec(label: dict | None = None, **more) -> ModelSpec:
    data = {"source": "data:load", "target": "kind", "exclude": ["note"]} | more.pop("data", {})
    body = {"name": "wine", "task": "classification", "data": data, "label": {"rows": "pool.csv", "classes": [0, 1]} | (label or {})}
    return ModelSpec.model_validate_json(json.dumps(body | more), strict=True)


def labels(*rows: tuple[dict, object, str]) -> pd.DataFrame:
    found = [{"row": json.dumps(row), "label": None if label is None else json.dumps(label), "arm": arm} for row, label, arm in rows]
    return pd.DataFrame(found)


def test_rows_stand_below_the_source_in_its_types_and_say_how_they_were_chosen():
    both, notes = labelled(FRAME, labels(({"a": 99, "n": 2}, 1, "control"), ({"a": 98.5, "n": 1}, 0, "uncertain")), spec())
    assert both[ORIGIN].tolist() == [SOURCE] * 20 + [LABELLED, CHOSEN]
    assert both.tail(2)[["a", "n", "kind"]].to_numpy().tolist() == [[99, 2, 1], [98.5, 1, 0]]
    assert both["kind"].dtype == FRAME["kind"].dtype and notes == ["2 rows that people labelled are learnt from beside 20 of the source."]


def test_what_people_say_of_a_row_of_the_source_is_taken_in_place_of_what_it_says():
    both, notes = labelled(FRAME, labels(({"a": 0.5, "n": 1}, 1, "uncertain")), spec())
    assert len(both) == 20 and both["kind"][0] == 1 and "1 rows of the source have the label that people gave them." in notes


def test_disputed_rows_and_rows_of_another_type_are_left_out():
    both, notes = labelled(FRAME, labels(({"a": 99, "n": 2}, None, "control"), ({"a": "x", "n": 2}, 1, "control")), spec())
    assert len(both) == 20 and "1 labelled rows have other types" in notes[-1]


def test_rows_of_production_stand_beside_them():
    first, _ = labelled(FRAME, labels(({"a": 99, "n": 2}, 1, "control")), spec())
    live = pd.DataFrame([{"time": pd.Timestamp("2026-11-30", tz="UTC"), "inputs.a": 7.5, "inputs.n": 1, "label": "0"}])
    both, _ = added(first, live, spec())
    assert both[ORIGIN].tolist() == [SOURCE] * 20 + [LABELLED, PRODUCTION]


def test_rows_that_were_chosen_are_never_held_out_and_no_other_row_changes_its_side():
    rows = [({"a": 100.5 + n, "n": 1}, 1, "uncertain" if n % 2 else "control") for n in range(200)]
    both, _ = labelled(FRAME, labels(*rows), spec())
    found = sides(both, spec().data)
    chosen = (both[ORIGIN] == CHOSEN).to_numpy()
    assert not found.test[chosen].any() and found.train[chosen].all()
    assert (found.test[~chosen] == held_out(both, 0.2)[~chosen]).all() and found.test[~chosen].sum() > 10


@pytest.mark.parametrize(
    ("label", "more", "said"),
    [
        ({"rows": "log"}, {}, "label.rows: is `log`, and labelled rows of the log are learnt from by `data.production`"),
        ({"rows": "pool.txt"}, {}, "label.rows: 'pool.txt' is no place that rows come from."),
        ({"classes": [0]}, {}, "label.classes: leaves nothing to choose from."),
        ({"classes": [0, "1"]}, {}, "label.classes: mixes types: int, str."),
        ({"classes": [0, 1, 1]}, {}, "label.classes: names '1' twice."),
        ({"show": "text"}, {}, "label.text: `show` is 'text', and `text` is not."),
        ({"picture": {"columns": "p*", "width": 8}}, {}, "label.picture: `show` is 'row', and `picture` is there."),
        ({"control": 0}, {}, "label.control: leaves no control arm"),
        ({"reconcile": "every day"}, {}, "label.reconcile:"),
        ({"classes": []}, {"task": "regression"}, "label.choose: numbers come without how sure"),
        ({}, {"data": {"group": "who"}}, "label.rows: a labelled row has no 'who'"),
    ],
)
def test_what_a_spec_may_not_say(label, more, said):
    found = [f"{dotted(at)}: {message}" for at, message, _ in contradictions(spec(label, **more))]
    assert [one for one in found if one.startswith(said)], found


def test_a_file_of_rows_that_is_not_there_is_named_with_its_line(tmp_path):
    folder = tmp_path / "wine"
    folder.mkdir()
    text = "name: wine\ntask: classification\ndata: {source: data.csv, target: kind}\nlabel:\n  rows: pol.csv\n  classes: [0, 1]\n"
    (folder / "model.yaml").write_text(text)
    (folder / "train.py").write_text("def train(X, y, params): ...\n")
    (folder / "expectations.yaml").touch()
    FRAME.to_csv(folder / "data.csv", index=False)
    FRAME.to_csv(folder / "pool.csv", index=False)
    with pytest.raises(SpecError, match=r"model.yaml:5.*label.rows.*there is no file 'pol.csv'.*pool.csv"):
        load(folder / "model.yaml")
