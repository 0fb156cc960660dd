"""Rows as a batch: what is asked of a table, what comes of each row, and through the real Envoy and Triton."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.batch import client, rows
from include.batch.client import BatchTarget
from include.batch.job import Job
from include.batch.ledger import Ledger, records
from include.batch.rows import ROWS, RowsBatch
from include.bundles.about import describe
from include.bundles.limits import Limit
from include.bundles.signature import Signature, Tensor
from include.errors import InputError
from include.gateway.observe import end_of, read_entries
from include.spec.data import Csv
from tests.include.serving.stage import Stage
from tests.waiting import until

FORM = RowsBatch(Csv(), 64)


def bundle(folder: Path, **columns: str) -> Path:
    folder.mkdir(exist_ok=True)
    inputs = tuple(Tensor(name, kind, (-1, 1)) for name, kind in columns.items())
    Signature(inputs, (Tensor("label", "INT64", (-1, 1)),), tuple(columns)).save(folder / "signature.json")
    return folder


def lay_out(home: Path, table: pd.DataFrame, own: Path, shards: int = 1, form: RowsBatch = FORM, name: str = "in.parquet") -> Job:
    source = home / name
    table.to_parquet(source, index=False) if name.endswith("parquet") else table.to_csv(source, index=False)
    return Job.lay_out(home / "out", source, model="m", named=name, options={}, shards=shards, form=form, bundle=own)


def asked(job: Job) -> list[dict[str, Any]]:
    return [row for _, item in FORM.read(job.items, 0, job.lines) for row in item.instances]


def test_cells_are_asked_as_json_has_them(tmp_path: Path) -> None:
    table = pd.DataFrame({"n": [1, 2**60 + 1], "x": [0.1, np.nan], "t": ["\u00e9", None], "photo": [b"\x89PNG", b""], "spare": [1, 2]})
    job = lay_out(tmp_path, table, bundle(tmp_path / "b", n="INT64", x="FP32", t="BYTES", photo="BYTES"))
    first, second = asked(job)
    assert first == {"n": 1, "x": 0.1, "t": "\u00e9", "photo": "iVBORw=="}
    assert second == {"n": 2**60 + 1, "x": None, "t": None, "photo": ""}


def test_codes_in_a_csv_keep_their_zeros_where_the_model_takes_texts(tmp_path: Path) -> None:
    table = pd.DataFrame({"plz": ["01067", "99999"], "n": [1, 2]})
    job = lay_out(tmp_path, table, bundle(tmp_path / "b", plz="BYTES", n="INT64"), name="in.csv")
    assert asked(job) == [{"plz": "01067", "n": 1}, {"plz": "99999", "n": 2}]


def test_large_rows_go_in_smaller_requests(tmp_path: Path) -> None:
    table = pd.DataFrame({"t": ["x" * 400_000] * 5 + ["y"] * 40})
    job = lay_out(tmp_path, table, bundle(tmp_path / "b", t="BYTES"), shards=3)
    sizes = [len(item.instances) for _, item in FORM.read(job.items, 0, job.lines)]
    assert sum(sizes) == 45 and max(sizes) == ROWS and sizes[:2] == [2, 2]
    assert [item.line for _, item in FORM.read(job.items, 0, job.lines)] == [1, 3, *np.cumsum([5, *sizes[2:-1]])]


@pytest.mark.parametrize(
    ("table", "columns", "why"),
    [
        ({"tenur": [1]}, {"tenure": "INT64"}, "has no column 'tenure', which the model takes. Is it 'tenur'?"),
        ({"a": []}, {"a": "INT64"}, "holds no row"),
        ({"a": [1], "answer.label": [2]}, {"a": "INT64"}, "has a column 'answer.label': answers are called so"),
    ],
)
def test_a_table_that_can_not_be_asked_is_refused_before_anything_is(tmp_path: Path, table: Any, columns: Any, why: str) -> None:
    with pytest.raises(InputError) as told:
        lay_out(tmp_path, pd.DataFrame(table), bundle(tmp_path / "b", **columns))
    assert why.replace("Is it", "Is it") in str(told.value)
    assert not (tmp_path / "out" / ".work" / "job.json").exists()


def test_a_model_of_arrays_is_told_where_to_send_them(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Signature((Tensor("x", "FP32", (-1, 7)),), (), ("x",)).save(tmp_path / "b" / "signature.json")
    with pytest.raises(InputError, match=r"takes an array in the column 'x'.*/v2/models"):
        lay_out(tmp_path, pd.DataFrame({"x": [1.0]}), tmp_path / "b")


def test_answers_of_versions_that_differ_stand_in_one_table(tmp_path: Path) -> None:
    job = lay_out(tmp_path, pd.DataFrame({"a": range(40)}), bundle(tmp_path / "b", a="INT64"), shards=3)
    own = [
        {"answers": [{"label": 1, "probability.0": 0.25, "probability.1": 0.75}] * 16, "revision": "1", "started": 0.0, "seconds": 0.5},
        {"answers": [{"label": "yes", "more": "[1]"}] * 15 + [{"error": "400: no"}], "revision": "2", "started": 2.0, "seconds": 0.5},
        {"error": "503: away (6 times)", "rows": 8},
    ]
    for shard, record in enumerate(own):
        with Ledger(job.ledger(shard)) as ledger:
            ledger.add({"number": shard, "line": 0, "id": "", **record})
    report = job.collect(FORM, "g4dn.xlarge").to_json()
    found = pd.read_parquet(job.folder / "answers.parquet")
    assert found["a"].tolist() == list(range(40)), "every row, in order"
    assert found["answer.label"].tolist() == ["1"] * 16 + ["yes"] * 15 + [None] * 9
    assert found["answer.probability.1"].notna().sum() == 16 and found["answer.more"].notna().sum() == 15
    assert found["answer.version"].value_counts().to_dict() == {"1": 16, "2": 15}
    assert found["answer.error"][31] == "400: no" and found["answer.error"].notna().sum() == 9
    assert (report["lines"], report["answered"], report["errors"], report["revisions"]) == (40, 31, 9, {"1": 16, "2": 15})
    assert report["rows_per_s"] == 31 and "| rows | 40 |" in (job.folder / "report.md").read_text()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


@pytest.mark.integration
def test_a_file_goes_through_the_gateway_to_parquet_and_on_where_it_was_stopped(stage: Stage, tmp_path: Path) -> None:
    """The real Envoy and Triton: rows that the model refuses are errors by row, a shard that was begun is not asked again."""
    revision = stage.serve("rows", "1", "mixed")
    stage.gateway.add_revision(replace(revision.endpoint(), about=describe(stage.bundles / "mixed", "rows", "1")))
    try:
        about = json.loads(describe(stage.bundles / "mixed", "rows", "1"))
        row = about["example_rows"]["instances"][0]
        assert set(row) == {"plan", "tenure", "gr\u00f6\u00dfe"}
        table = pd.DataFrame([row] * 50)
        table["tenure"] = table["tenure"].astype(float)
        table.loc[20, "tenure"] = None
        table.loc[21, "tenure"] = 1.5
        job = lay_out(tmp_path, table, stage.bundles / "mixed", shards=2, name="in.csv")
        target = BatchTarget(
            FORM, stage.settings.gateway_url, stage.credentials.batch_headers("demo", "1"), "rows", {}, slots=2, active=lambda: 0
        )
        sent, mark = Counter[int](), end_of(stage.gateway.access_log)

        class Counting(RowsBatch):
            def body(self, model: str, item: Any, options: Any) -> bytes:
                sent[item.line] += 1
                return super().body(model, item, options)

        target = replace(target, form=Counting(Csv(), 64))
        for _ in range(2):
            for shard in range(job.shards):
                with Ledger(job.ledger(shard)) as ledger:
                    client.run(target, FORM.read(job.items, *job.bounds(shard)), ledger, None, lambda _: None)
        assert sum(sent.values()) == 4 + 16, "each request once, and the refused one row by row"
        assert len(records(job.ledger(0))) == 2
        report = job.collect(FORM, "g4dn.xlarge").to_json()
        found = pd.read_parquet(job.folder / "answers.parquet")
        assert report["errors"] == 2 and report["answered"] == 48 and report["revisions"] == {"1": 48}
        assert "column 'tenure'" in found["answer.error"][20] and "whole numbers" in found["answer.error"][21]
        answers = [name for name in found if name.startswith("answer.")]
        alone = found.loc[0, answers].dropna().to_dict()
        assert set(alone) > {"answer.version"} and (found.loc[found["answer.error"].isna(), list(alone)] == pd.Series(alone)).all().all()

        def batched() -> list[str]:
            return [one.model for one in read_entries(stage.gateway.access_log, mark)[0] if one.kind == "batch"]

        until(lambda: batched() == ["rows"] * 20, 20, "a batch's requests in the log, told apart from callers'")
        stranger = httpx.post(
            f"{stage.settings.gateway_url}/v1/models/rows:predict",
            json={"instances": [row]},
            headers={"x-api-key": stage.credentials.api_keys["demo"], "x-updraft-batch": "guess", "x-updraft-revision": "1"},
            timeout=20,
        )
        assert stranger.status_code == 503, "without a live revision, nobody else gets there"
    finally:
        stage.gateway.retire("rows")


def test_limits_do_not_stand_in_the_way(tmp_path: Path) -> None:
    own = bundle(tmp_path / "b", a="INT64")
    replace(Signature.read(own / "signature.json"), limits={"a": Limit(missing=False)}).save(own / "signature.json")
    assert lay_out(tmp_path, pd.DataFrame({"a": [1]}), own).lines == 1


def test_decimals_are_asked_as_the_numbers_that_training_makes_of_them(tmp_path: Path) -> None:
    table = pd.DataFrame({"price": [Decimal("1.50"), Decimal("2.00"), None, Decimal("NaN")]})
    job = lay_out(tmp_path, table, bundle(tmp_path / "b", price="FP64"))
    assert [row["price"] for row in asked(job)] == [1.5, 2, None, None]


def test_an_index_that_tells_rows_apart_is_kept_beside_the_answers(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a7", "b9"], name="customer")).to_parquet(source)
    job = Job.lay_out(
        tmp_path / "out", source, model="m", named="in.parquet", options={}, shards=1, form=FORM, bundle=bundle(tmp_path / "b", n="INT64")
    )
    kept = pq.read_table(job.items.with_name(rows.TABLE))
    assert kept.column("customer").to_pylist() == ["a7", "b9"] and asked(job) == [{"n": 1}, {"n": 2}]
    (tmp_path / "plain").mkdir()
    plain = lay_out(tmp_path / "plain", pd.DataFrame({"n": [1]}), tmp_path / "b")
    assert pq.read_table(plain.items.with_name(rows.TABLE)).column_names == ["n"]


def test_answers_keep_their_types() -> None:
    assert rows._array([True, None, False]).to_pylist() == [True, None, False]
    assert rows._array([2**53 + 1, 0.5, None]).to_pylist() == [str(2**53 + 1), "0.5", None], "neither fits the other's type"
    assert rows._array([1, 0.5]).to_pylist() == [1.0, 0.5]
