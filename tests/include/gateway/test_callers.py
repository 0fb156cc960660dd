"""A caller's fault is answered with 400 and a sentence that names it; what has a meaning is taken. Through the real gateway and Triton."""

import json
from dataclasses import replace

import pytest

from include.bundles.about import describe
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(stage):
    for name, bundle in (("told", "good"), ("words", "text"), ("mixed", "columns")):
        revision = stage.serve(name, "1", bundle)
        stage.gateway.add_revision(replace(revision.endpoint(), about=describe(stage.bundles / bundle, name, "1")))
        stage.gateway.set_split(name, {"1": 100})
        until(lambda name=name: stage.client.get(f"/v2/models/{name}").status_code == 200)
    return stage.client


def numbers(data, extra="", shape="[1,8]"):
    return f'{{{extra}"inputs":[{{"name":"input","datatype":"FP32","shape":{shape},"data":{data}}}]}}'


def words(data):
    return f'{{"inputs":[{{"name":"word","datatype":"BYTES","shape":[1,1],"data":{data}}}]}}'


ROW = "[1,2,3,4,5,6,7,8]"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        '{"inputs":[]}',
        numbers(ROW, '"parameters": 5,'),
        numbers(ROW, '"parameters": {"priority": "x"},'),
        numbers(ROW, '"parameters": {"timeout": -1},'),
        numbers(ROW, '"id": 7,'),
        numbers(ROW, '"outputs": 3,'),
        numbers(ROW, '"outputs":[{"name":"label","parameters":{"classification":"x"}}],'),
        numbers('[1,2,3,4,5,6,7,"8"]'),
        numbers("[1,2,3]"),
        numbers("[1,2,3,4,5,6,7,1e400]"),
        numbers("[1,2,3,4,5,6,7,1e39]"),
        numbers("[1,2,3,4,5,6,7,null]"),
    ],
)
def test_a_fault_of_the_caller_is_told_with_400(model, body):
    answer = model.post("/v2/models/told/infer", content=body)
    assert answer.status_code == 400 and answer.json()["error"], answer.text
    assert "NaN" not in answer.text.replace("(NaN)", "").replace("would be nan", "")


def test_bytes_that_are_no_text_are_named(model):
    answer = model.post("/v2/models/words/infer", content=words('["\xff"]').encode("latin-1"))
    assert answer.status_code == 400 and "input word holds bytes that are no UTF-8: 0xff" in answer.json()["error"]


def test_truth_values_and_missing_texts_are_taken(model):
    as_numbers, as_words = (
        model.post("/v2/models/told/infer", content=numbers(row)).json()["outputs"]
        for row in ("[1,0,3,4,5,6,7,8]", "[true,false,3,4,5,6,7,8]")
    )
    assert as_numbers == as_words
    body = '{"inputs":[{"name":"word","datatype":"BYTES","shape":[3,1],"data":["null, \\" true",null,"b"]}]}'
    assert model.post("/v2/models/words/infer", content=body).json()["outputs"][0]["data"] == ['null, " true', "", "b"]


GIVEN = {"tenure": ("INT64", "[3]"), "price": ("FP32", "[1.5]"), "active": ("INT64", "[1]"), "plan": ("BYTES", '["pro"]')}


def mixed(**given):
    columns = {name: (kind, given.get(name, data)) for name, (kind, data) in GIVEN.items()}
    parts = (f'{{"name":"{name}","datatype":"{kind}","shape":[1,1],"data":{data}}}' for name, (kind, data) in columns.items())
    return f'{{"inputs":[{",".join(parts)}]}}'


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("tenure", "[null]", "(INT64) holds null: a whole number has no way to be missing."),
        ("tenure", "[3.0]", "(INT64) holds 3.0, and takes whole numbers."),
        ("tenure", "[1e3]", "(INT64) holds 1e3, and takes whole numbers."),
        ("tenure", "[[3.5]]", "(INT64) holds 3.5, and takes whole numbers."),
        ("tenure", '["3"]', "(INT64) holds a text, and takes numbers: write them without quotes."),
        ("tenure", "[true]", "(INT64) holds true, and is no column of truth values."),
        ("tenure", "[]", "(INT64) holds no row: send one at least."),
        ("price", "[false]", "(FP32) holds false, and is no column of truth values."),
        ("price", '["3"]', "(FP32) holds a text, and takes numbers: write them without quotes."),
        ("plan", "[5]", "(BYTES) holds 5, and takes texts: write them in quotes."),
        ("plan", "[true]", "(BYTES) holds true, and takes texts: write them in quotes."),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_columns_name(model, name, data, said):
    answer = model.post("/v2/models/mixed/infer", content=mixed(**{name: data}))
    assert (answer.status_code, answer.json()) == (400, {"error": f"input '{name}' {said}"})


@pytest.mark.parametrize(
    ("given", "outputs"),
    [
        ({}, [5.5, "pro"]),
        ({"active": "[true]"}, [5.5, "pro"]),
        ({"active": "[ [ false ] ]", "price": "[1E1]", "tenure": "[-3]"}, [7, "pro"]),
        ({"plan": "[null]"}, [5.5, ""]),
        ({"plan": '["5, true, [null] \\" "]'}, [5.5, '5, true, [null] " ']),
    ],
)
def test_what_has_a_meaning_is_taken_in_a_mixed_table(model, given, outputs):
    answer = model.post("/v2/models/mixed/infer", content=mixed(**given))
    found = {output["name"]: output["data"][0] for output in answer.json()["outputs"]}  # Triton's order differs from start to start
    assert [found["prediction"], found["label"]] == outputs, answer.text


def test_truth_values_beside_a_tensor_of_them_are_read_alike(model):
    body = mixed(active="[true]").replace('"inputs":[', '"inputs":[{"name":"more","datatype":"BOOL","shape":[1,1],"data":[true]},')
    answer = model.post("/v2/models/mixed/infer", content=body)
    assert answer.status_code == 400 and "expected 4 inputs but got 5" in answer.text


def test_a_truth_value_in_a_row_of_numbers_is_taken_where_its_column_has_some(stage, model):
    told = json.loads(describe(stage.bundles / "good", "told", "1"))
    told["inputs"][0]["columns"], told["parameters"]["truths"] = list("abcdefgh"), ["b"]
    [revision] = [stage.backend.find("told", "1")]
    stage.gateway.add_revision(replace(revision.endpoint(), about=json.dumps(told)))
    until(lambda: "truths" in stage.client.get("/v2/models/told").text)
    rows = {"[1,true,3,4,5,6,7,8,1,false,3,4,5,6,7,8]": 200, "[[1,2,3,4,5,6,7,8],[true,2,3,4,5,6,7,8]]": 400}
    answers = {row: model.post("/v2/models/told/infer", content=numbers(row, shape="[2,8]")) for row in rows}
    assert {row: answer.status_code for row, answer in answers.items()} == rows
    assert answers["[[1,2,3,4,5,6,7,8],[true,2,3,4,5,6,7,8]]"].json()["error"] == (
        "input 'input' (FP32) column 'a' holds true, and is no column of truth values."
    )


@pytest.mark.parametrize("parameters", ["", '"parameters":{"note":"datatype"},'])
@pytest.mark.parametrize("first", ["datatype", "data"])
def test_a_missing_text_is_taken_in_a_request_of_one_row(model, first, parameters):
    parts = {"data": '"data":[null]', "datatype": '"datatype":"BYTES"'}
    tensor = ",".join(parts[name] for name in sorted(parts, key=lambda name: name != first))
    body = f'{{"inputs":[{{"name":"word","shape":[1,1],{parameters}{tensor}}}]}}'
    assert model.post("/v2/models/words/infer", content=body).json()["outputs"][0]["data"] == [""]


def test_the_model_tells_what_it_takes_with_an_example_that_works(model):
    about = model.get("/v2/models/told").json()
    assert about["inputs"][0]["name"] == "input" and about["parameters"].keys() >= {"classes", "limits"}
    assert model.post("/v2/models/told/infer", json=about["example"]).status_code == 200
