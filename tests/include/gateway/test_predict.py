"""Rows in plain JSON through the real Envoy and the real Triton: what goes in, what comes out, what is refused by row and column."""

import json
import time
from dataclasses import replace

import httpx
import pytest

from include.bundles.about import describe
from include.gateway.exchanges import Drawn
from include.gateway.observe import read_entries
from tests.waiting import until

pytestmark = pytest.mark.integration
ROWS = [{"plan": "pro", "tenure": 3, "größe": 1.5}, {"plan": "basic", "tenure": 41, "größe": 2}]


@pytest.fixture(scope="module")
def shop(stage):
    """The model `shop` with columns of every type, which answers what it saw."""
    revision = stage.serve("shop", "1", "mixed")
    stage.gateway.add_revision(replace(revision.endpoint(), about=describe(stage.bundles / "mixed", "shop", "1")))
    stage.gateway.set_split("shop", {"1": 100})
    yield lambda body, **more: stage.client.post("/v1/models/shop:predict", **{"json": body} | more)
    stage.gateway.retire("shop")


def predictions(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["predictions"]


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    return answer.json()


def test_instances_are_answered_by_class_name(shop):
    answer = shop({"instances": ROWS})
    assert predictions(answer) == [
        {"label": "pro", "months": 3, "probabilities": {"basic": 1.5, "pro": 1.5}},
        {"label": "basic", "months": 41, "probabilities": {"basic": 2.0, "pro": 2.0}},
    ]
    assert answer.headers["x-updraft-revision"] == "1" and answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {"dataframe_split": {"columns": ["größe", "plan", "tenure"], "data": [[1.5, "pro", 3], [2, "basic", 41]]}},
        {"dataframe_split": {"data": [[3, "pro", 1.5], [41, "basic", 2]], "index": [0, 1], "columns": ["tenure", "plan", "größe"]}},
        {"instances": [["pro", 3, 1.5, "n"], ["basic", 41, 2, "n"]]},
        {"instances": [row | {"note": "n"} for row in ROWS]},
    ],
)
def test_every_form_of_the_same_rows_is_answered_alike(shop, body):
    assert predictions(shop(body)) == predictions(shop({"instances": ROWS}))


CSV = "plan,tenure,größe\npro,3,1.5\nbasic,41,2\n"


def csv(shop, text, kind="text/csv"):
    return shop(None, json=None, content=text.encode() if isinstance(text, str) else text, headers={"content-type": kind})


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        "\ufeff" + CSV.replace("\n", "\r\n").rstrip(),
        '"größe",tenure,plan\n\n+1.50,003.0,"pro"\n2.,41, basic'.replace(", basic", ",basic"),
        "note,plan,größe,tenure\nn,pro,1.5e0, 3 \nn,basic,2,41\n",
    ],
)
def test_csv_is_answered_as_the_same_rows_are(shop, text):
    assert predictions(csv(shop, text, "text/csv; charset=utf-8")) == predictions(shop({"instances": ROWS}))


def test_what_csv_has_in_quotes_is_one_field(shop):
    said = predictions(csv(shop, 'plan,tenure,größe\n"quoted ""one""",TRUE,\n"",4,.5\n,4,.5\n'))
    assert [row["label"] for row in said] == ['quoted "one"', "", ""] and said[0]["months"] == 1
    assert [row["probabilities"]["pro"] for row in said] == [-1.0, 0.5, 0.5]
    odd = refused(csv(shop, 'plan,tenure,größe\n"a,\tb\nc \\ d",1,1\n'))["error"]
    assert "'a,\\tb\\nc \\\\ d', which the model does not know" in odd, odd


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan,tenure\npro,3\n", "column 'größe' is not in the header"),
        ("plan,tenure,größe,age\npro,3,1,2\n", "column 'age' is no column of the model's"),
        ("plan,tenure,größe,plan\npro,3,1,pro\n", "column 'plan' stands twice in the header"),
        ("plan;tenure;größe\npro;3;1\n", "is no column of the model's"),
        (CSV + "pro,1\n", "row 2 has 2 fields, and the header has 3"),
        (CSV + 'pro,"1,5",2\n', "row 2, column 'tenure' is 1,5, which is no number"),
        (CSV + "pro,1e999x,2\n", "row 2, column 'tenure'"),
        (CSV + "pro,,2\n", "row 2, column 'tenure' is missing (null)"),
        (CSV + '"pro,1,2\n', "a quote is never closed"),
        (CSV + '"pro"x,1,2\n', "something follows a field in quotes"),
        (CSV + 'p"ro,1,2\n', "a quote stands in a field"),
        ("plan,tenure,größe\n", "holds no row below its header"),
        ("", "holds no header"),
        ("plan,tenure,größe\npr\0o,3,1\n", "NUL"),
        ("plan,tenure,größe\n".encode() + b"pr\xed\xa0\x80,3,1\n", "not UTF-8"),
        (json.dumps({"instances": ROWS}), "a quote stands in a field that does not begin with one"),
    ],
)
def test_csv_at_fault_is_told_by_row_and_column(shop, text, said):
    assert said in refused(csv(shop, text))["error"]


@pytest.mark.parametrize("cell", ["1" * 300_000 + "e5", "1" * 300_000 + "x", "1" + " " * 300_000 + "2"])
def test_one_long_cell_holds_nobody_up(shop, cell):
    begun = time.monotonic()
    assert "row 0, column 'tenure' is 1" in refused(csv(shop, f"plan,tenure,größe\npro,{cell},1\n"))["error"]
    assert time.monotonic() - begun < 5


def test_the_model_tells_an_example_of_rows_that_works(stage, shop):
    about = stage.client.get("/v2/models/shop").json()
    assert about["example_rows"] == {"instances": [{"plan": "pro", "tenure": 3, "größe": 1.5}]}
    assert predictions(shop(about["example_rows"]))[0]["months"] == 3


def test_escapes_and_utf8_are_one(shop):
    plain = json.dumps({"instances": ROWS}, ensure_ascii=False).encode()
    assert predictions(shop(None, json=None, content=plain)) == predictions(shop({"instances": ROWS}))
    said = predictions(shop({"instances": [ROWS[0] | {"plan": 'quoted "one"'}]}))
    assert said[0]["label"] == 'quoted "one"'


def test_null_is_a_missing_value_and_true_is_one(shop):
    said = predictions(shop({"instances": [{"plan": None, "tenure": True, "größe": None}, {"plan": "pro", "tenure": 4.0, "größe": 0}]}))
    assert [row["label"] for row in said] == ["", "pro"] and [row["months"] for row in said] == [1, 4]
    assert [row["probabilities"]["pro"] for row in said] == [-1.0, 0.0]


def test_a_whole_number_of_64_bits_loses_no_digit(shop):
    for number in (2**63 - 1, -(2**63)):
        assert predictions(shop({"instances": [ROWS[0] | {"tenure": number}]}))[0]["months"] == number


@pytest.mark.parametrize(
    ("cells", "column", "said"),
    [
        ({"tenure": "three"}, "tenure", 'is the text "three", and the column holds numbers'),
        ({"tenure": 3.5}, "tenure", "is 3.5, and the column holds whole numbers"),
        ({"tenure": 9223372036854775808}, "tenure", "more than 64 bits hold"),
        ({"tenure": None}, "tenure", "is missing (null), and the model takes no missing value there"),
        ({"plan": 5}, "plan", "is the number 5, and the column holds texts: put it in quotes"),
        ({"plan": True}, "plan", "is true, and the column holds texts: put it in quotes"),
        ({"größe": True}, "größe", "is true, and it is no column of truth values"),
        ({"plan": ["pro"]}, "plan", "is a list or an object: send one value"),
        ({"größe": "2024-05-01"}, "größe", 'is the text "2024-05-01"'),
        ({"tenur": 3}, "tenur", "is no column of the model's; it takes plan, tenure, größe, note"),
    ],
)
def test_a_cell_at_fault_is_told_by_row_and_column(shop, cells, column, said):
    found = refused(shop({"instances": [ROWS[0], ROWS[1] | cells]}))
    assert found["error"].startswith(f"row 1, column '{column}' ") and said in found["error"]
    assert {"row": 1, "column": column} == {key: found["errors"][0][key] for key in ("row", "column")}


def test_a_column_that_is_not_there_is_told_and_an_optional_one_is_not_missed(shop):
    found = refused(shop({"instances": [{"plan": "pro", "tenure": 3}]}))
    assert found["error"] == "row 0, column 'größe' is not there: send it, or null where it is missing."
    found = refused(shop({"dataframe_split": {"columns": ["plan", "größe"], "data": [["pro", 1]]}}))
    assert found["error"] == "row 0, column 'tenure' is not there: send it."
    found = refused(shop({"instances": [ROWS[0] | {"note": "n"}, ROWS[1]]}))
    assert found["error"] == "column 'note' stands in some rows only: send it in all of them, or in none."


def test_many_faults_are_counted_and_the_first_are_told(shop):
    found = refused(shop({"instances": [{"plan": 1, "tenure": "x", "größe": 1}] * 30}))
    assert "(60 faults)" in found["error"] and len(found["errors"]) == 20


def test_a_body_of_nothing_but_faults_is_not_read_to_its_end(shop):
    """Three bytes a row: a small body would have millions of faults, each of which takes time of a gateway's thread."""
    found = refused(shop(None, json=None, content=b'{"instances": [' + b",".join([b"{}"] * 100_000) + b"]}"))
    assert "(1000 faults or more)" in found["error"] and len(found["errors"]) == 20


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is no JSON object"),
        (b"[1]", "it is no JSON object: send {"),
        (b'{"instances": [{"plan": "pro"}', "a comma or a bracket is missing"),
        (b'{"instances": []}', "instances holds no row"),
        (b'{"instances": {"plan": "pro"}}', "instances must be a list of rows"),
        (b'{"rows": []}', "the key rows is unknown here"),
        (b'{"instances": [], "dataframe_records": []}', "it holds instances and dataframe_records: send one of them"),
        (b'{"dataframe_split": {"data": [[1]]}}', "dataframe_split needs columns and data"),
        (b'{"instances": [{"plan": "\xff"}]}', "it is not UTF-8"),
        (b'{"instances": [{"plan": "\\ud800", "tenure": 1}]}', "half a character"),
        (b'{"instances": [{"plan": NaN}]}', "there is no value"),
        (b'{"instances": [[' + b"[" * 3000 + b"]]]}", "nested more than 100 deep"),
        (b'{"instances": [1]} x', "something follows it"),
    ],
)
def test_a_body_that_holds_no_rows_is_told_what_it_should_be(shop, body, said):
    found = refused(shop(None, json=None, content=body))
    assert said in found["error"], found


def test_rows_of_the_wrong_width_and_rows_that_are_none(shop):
    assert refused(shop({"instances": [["pro", 3]]}))["error"] == "row 0 has 2 values, and there are 4 columns."
    assert refused(shop({"instances": [ROWS[0], "pro"]}))["error"] == "row 1 must be an object of values by column."


def test_what_the_server_refuses_stays_its_own_sentence(shop):
    found = refused(shop({"instances": [ROWS[0] | {"plan": "platinum"}]}))
    assert "input 'plan'" in found["error"] and "'platinum', which the model does not know" in found["error"]


def test_keys_bounds_and_paths_are_those_of_the_model(stage, shop):
    url = f"{stage.settings.gateway_url}/v1/models/shop:predict"
    assert httpx.post(url, json={"instances": ROWS}).json()["error"].startswith("an API key is needed and none was sent")
    assert refused(stage.client.post("/v1/models/nobody:predict", json={"instances": ROWS}), 404)["error"].startswith(
        "no table of this name"
    )
    assert refused(stage.client.get("/v1/models/shop:predict"), 404)["error"].startswith("no table of this name")
    assert refused(shop(None, json=None, content=b"[" * (9 * 1024 * 1024)), 413)["error"].endswith("send fewer rows in a request.")
    assert refused(shop(None, json=None, content=b"x", headers={"content-encoding": "gzip"}), 415)["error"].startswith(
        "a body that is compressed"
    )


def test_a_caller_can_not_say_that_it_was_answered(shop):
    found = refused(shop({"instances": [{"plan": 1}]}, headers={"x-updraft-said": "1"}))
    assert set(found) == {"error", "errors"}


def test_the_log_tells_of_an_inference_like_others(stage, shop):
    mark = stage.mark()
    assert shop({"instances": ROWS}).status_code == 200

    def logged():
        entries, _ = read_entries(stage.gateway.access_log, mark)
        return [entry for entry in entries if entry.model == "shop"]

    until(logged)
    [entry] = logged()
    assert entry.kind == "live" and entry.inference and not entry.chat and entry.served_by == "1"


def test_numbers_go_as_one_tensor_and_both_sides_of_a_split_are_named_by_their_own_classes(stage, duo, pair):
    about = json.loads(describe(stage.bundles / "good", "duo", "1"))
    about["inputs"][0]["columns"] = [f"x{n}" for n in range(8)]
    for revision, classes in zip(pair, (["no", "maybe", "yes"], ["0", "1", "2"]), strict=True):
        said = json.dumps(about | {"parameters": {"classes": classes}})
        stage.gateway.add_revision(replace(revision.endpoint(), about=said))
    stage.gateway.set_split("duo", {"1": 50, "2": 50})
    row = {f"x{n}": n / 7 for n in reversed(range(8))}
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 8], "data": [n / 7 for n in range(8)]}
    outputs = stage.client.post("/v2/models/duo/infer", json={"inputs": [tensor]}).json()["outputs"]
    wanted = {tensor["name"]: tensor["data"] for tensor in outputs}
    seen = set()
    for _ in range(20):
        answer = stage.client.post("/v1/models/duo:predict", json={"instances": [row]})
        [found] = predictions(answer)
        assert [found["label"]] == wanted["label"] and list(found["probabilities"].values()) == wanted["probabilities"]
        seen.add((answer.headers["x-updraft-revision"], *found["probabilities"]))
    assert seen == {("1", "no", "maybe", "yes"), ("2", "0", "1", "2")}


def test_a_model_that_tells_no_columns_says_where_tensors_go(stage, duo):
    found = refused(stage.client.post("/v1/models/duo:predict", json={"instances": [{}]}))
    said = "model duo takes more than a value a column, or does not tell its columns: send tensors to /v2/models/duo/infer."
    assert found["error"] == said


def test_what_is_drawn_for_the_log_is_in_the_servers_words_and_its_caller_gets_rows(stage, shop):
    """The log's filter gives the request an id of its own: the route, and what it says of the model, stay."""
    stage.gateway.draw({"shop": Drawn(1.0)})
    try:
        answer = shop({"instances": [ROWS[0] | {"größe": None}]})
        assert predictions(answer)[0]["probabilities"] == {"basic": -1.0, "pro": -1.0}
        assert answer.headers["x-request-id"][14] == "7"
    finally:
        stage.gateway.draw({})
