"""A caller's fault is answered with 400 and a sentence that names it; what has a meaning is taken. Through the real gateway and Triton."""

from dataclasses import replace

import pytest

from include.bundles.about import describe
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(stage):
    for name, bundle in (("told", "good"), ("words", "text")):
        revision = stage.serve(name, "1", bundle)
        stage.gateway.add_revision(replace(revision.endpoint(), about=describe(stage.bundles / bundle, name, "1")))
        stage.gateway.set_split(name, {"1": 100})
        until(lambda name=name: stage.client.get(f"/v2/models/{name}").status_code == 200, 20)
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


@pytest.mark.parametrize("parameters", ["", '"parameters":{"note":"datatype"},'])
@pytest.mark.parametrize("first", ["datatype", "data"])
def test_a_missing_text_is_taken_in_a_request_of_one_row(model, first, parameters):
    parts = {"data": '"data":[null]', "datatype": '"datatype":"BYTES"'}
    tensor = ",".join(parts[name] for name in sorted(parts, key=lambda name: name != first))
    body = f'{{"inputs":[{{"name":"word","shape":[1,1],{parameters}{tensor}}}]}}'
    assert model.post("/v2/models/words/infer", content=body).json()["outputs"][0]["data"] == [""]


def test_the_model_tells_what_it_takes_with_an_example_that_works(model):
    about = model.get("/v2/models/told").json()
    assert about["inputs"][0]["name"] == "input" and about["parameters"].keys() == {"classes", "limits"}
    assert model.post("/v2/models/told/infer", json=about["example"]).status_code == 200
