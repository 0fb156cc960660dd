"""Rows as tasks, templates, and what is kept of labels."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime

import pandas as pd
import pytest
from PIL import Image

from include.errors import InputError
from include.labels import kept, template
from include.labels.choose import Candidate, Chosen
from include.labels.export import Given, Labelled
from include.labels.rows import of_log, of_table, sampled
from include.labels.tasks import drawn, key_of, missing, task
from include.labels.template import KEY, PICTURE, ROW
from include.spec.label import Label, Picture

ROWS = Label(rows="pool.csv", classes=("a", 'b"<&'))
AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


def labelled(key, label, arm="control", who="anna", minute=0):
    given = (Given(who, AT.replace(minute=minute), label),) if label is not None else (Given("a", AT, 1), Given("b", AT, 2))
    return Labelled(key, 1, {"x": 1.5}, given, label, arm, None, "")


def test_a_row_has_one_key_whatever_the_order_of_its_columns_and_the_form_of_its_numbers():
    assert key_of("m", {"a": 1, "b": 2.0}) == key_of("m", {"b": 2, "a": 1.0}) != key_of("other", {"a": 1, "b": 2})


def test_the_template_is_xml_whatever_classes_are_called():
    config = template.template(ROWS, numbers=False)
    assert template.control(config, "here").choices == ("a", 'b"<&')
    numbers = template.control(template.template(Label(rows="pool.csv"), numbers=True), "here")
    assert numbers.kind == "Number" and numbers.read(numbers.result(1.5)[0]) == 1.5


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("<View><Choices", "is no XML"),
        ('<!DOCTYPE x [<!ENTITY y "z">]><View>&y;</View>', "is no XML"),
        ('<View><Text name="t" value="$x"/><Choices name="other" toName="t"/></View>', "has 0 tags named 'label'"),
        ('<View><Text name="t" value="$x"/><Labels name="label" toName="t"/></View>', "has a <Labels> named 'label'"),
        ('<View><Choices name="label" toName="nobody"><Choice value="a"/></Choices></View>', "names 'nobody'"),
        ('<View><Text name="t" value="$x"/><Choices name="label" toName="t"><Choice value="a"/></Choices></View>', "differ in b"),
    ],
)
def test_a_configuration_of_one_s_own_is_looked_through(config, said):
    with pytest.raises(InputError, match=said) as error:
        template.control(config, "models/m/labels.xml", ("a", "b"))
    assert error.value.where == "models/m/labels.xml"


def test_pixels_are_drawn():
    row = {"id": 7, "p0": 0, "p1": 16, "p2": 8, "p3": 99}
    address = drawn(row, Picture(columns="p*", width=2, maximum=16, scale=3))
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert image.size == (6, 6) and [image.getpixel(at) for at in ((0, 0), (5, 0), (0, 5), (5, 5))] == [255, 0, 127, 0]


@pytest.mark.parametrize(("columns", "said"), [("q*", "0 columns match"), ("p?", "3 columns match"), ("word*", "which is no pixel")])
def test_columns_that_make_no_picture_are_named(columns, said):
    with pytest.raises(InputError, match=said):
        drawn({"p0": 1, "p1": 2, "p2": 3, "word1": "x", "word2": "y"}, Picture(columns=columns, width=2))


def test_a_task_shows_the_row_and_carries_what_it_is_known_by():
    control = template.control(template.template(ROWS, numbers=False), "here")
    found = task(Chosen(Candidate("k", {"x": None, "y": 2.0}), "control", "why"), ROWS, control, model="m", run="r", champion=None)
    assert found["data"] == {ROW: {"x": "", "y": 2}, "x": None, "y": 2, KEY: "k"} and PICTURE not in found["data"]
    assert "predictions" not in found and found["meta"]["updraft"]["arm"] == "control"


def test_of_two_tasks_of_a_key_the_labelled_one_stays():
    there = [{"id": 1, "data": {KEY: "a"}}, {"id": 2, "data": {KEY: "a"}, "total_annotations": 1}, {"id": 3, "data": {"by": "hand"}}]
    assert missing([{"data": {KEY: "a"}}, {"data": {KEY: "b"}}], there) == ([{"data": {KEY: "b"}}], [1])


def test_what_is_kept_is_the_same_bytes_for_the_same_labels(tmp_path):
    frame = kept.table([labelled("b", 2), labelled("a", None)], 7)
    kept.write(frame, tmp_path / "one")
    kept.write(kept.read(tmp_path / "one"), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert list(kept.read(tmp_path / "one")["key"]) == ["a", "b"] and kept.read(tmp_path / "one")["label"][0] is None


def test_a_label_that_was_taken_back_goes_and_those_of_a_deleted_project_stay():
    before = kept.table([labelled("a", 1), labelled("b", 1)], 7)
    now = kept.table([labelled("b", 2)], 7)
    assert list(kept.merged(before, now, 7)["key"]) == ["b"] and kept.changed(before, now) == 1
    anew = kept.table([labelled("c", 1)], 8)
    assert list(kept.merged(before, anew, 8)["key"]) == ["a", "b", "c"] and kept.changed(before, kept.merged(before, anew, 8)) == 1


def test_of_the_log_rows_without_a_label_are_taken_each_once_with_its_request():
    rows = [
        ("1", "live", 200, [1.0, 2.0]),
        ("2", "live", 200, [1.0, 2.0]),
        ("3", "mirror", 200, [3.0, 4.0]),
        ("4", "live", 503, [5.0, 6.0]),
    ]
    rows.append(("5", "live", 200, [7.0, 8.0]))
    logged = pd.DataFrame([{"id": id_, "kind": kind, "status": status, "inputs.input": value} for id_, kind, status, value in rows])
    found, ids = of_log(logged, ["a", "b"], "m", {"5"})
    assert list(found.values()) == [{"a": 1, "b": 2}] and list(ids.values()) == ["2"]


def test_a_sample_leaves_out_what_was_asked_before_and_is_the_same_for_the_same_round():
    rows = of_table(pd.DataFrame({"a": [1, 1, 2, 3], "y": [0, 1, 0, 1]}), "m", "y")
    assert len(rows) == 3
    known = {key_of("m", {"a": 2})}
    assert sampled(rows, known, "r") == sampled(rows, known, "r") and len(sampled(rows, known, "r")) == 2
