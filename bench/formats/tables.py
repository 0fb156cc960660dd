"""Is any answer, or any cell that was read, wrong without a word? ``python -m bench.formats.tables [--only TEXT]`` (runtime `trainer`).

JSON is the last line. Each of the pipelines is trained, exported and asked about rows of four classes (complete, missing, unseen,
extreme), by ONNX Runtime and the limits that the server checks, beside the estimator itself. Each of the ways to write a table is read
with its settings and without.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.formats.pipelines import TABLES, Model, models
from bench.formats.ways import Way, ways
from include.data import table as tables
from include.errors import InputError
from include.kinds.forms.candidates import FLOAT32, scaled
from include.kinds.forms.onnx_model import OnnxModel
from include.kinds.rows.rows import Rows
from include.kinds.table import parity
from include.kinds.table.export import exported
from include.kinds.table.table import feature_columns, features, split_rows
from include.spec.data import Csv
from include.spec.schema import ModelSpec, Task

EACH = 24
"""Rows of each class that are asked about."""
SAME, REFUSED, WRONG, UNCLEAR = "same", "refused", "silently wrong", "unclear"
STRANGE = ("NA", " ", "None", "Größe", "\N{SNOWMAN}", "basic ", "BASIC", "0", "\u200b")


def rows_of(kind: str, train: Rows, test: Rows) -> pd.DataFrame:
    """Rows of a class: none of them is a probe of the export."""
    rng = np.random.default_rng(99)
    x = test.x.sample(EACH, replace=True, random_state=7, ignore_index=True)
    for row in range(EACH if kind != "complete" else 0):
        name = x.columns[row % x.shape[1]]
        column = train.x[name]
        if column.dtype.kind == "O":
            x.loc[row, name] = {"missing": "", "extreme": "x" * 500}.get(kind, STRANGE[row % len(STRANGE)])
        elif kind == "missing" and column.dtype.kind == "f":
            x.loc[row, name] = np.nan
        elif kind != "missing":
            x.loc[row, name] = _number(kind, column, name in train.wide, rng)
    return x


def _number(kind: str, column: pd.Series[Any], wide: bool, rng: np.random.Generator) -> Any:
    low, high = float(column.min()), float(column.max())
    span = max(high - low, 1.0)
    sizes = (rng.uniform(0.01, 3), rng.uniform(3, 300), 1e6, 1e12, 1e30)
    value = rng.uniform(low, high) if kind == "unseen" else rng.choice([low - 1, high + 1]) * float(rng.choice(sizes)) * span
    if column.dtype.kind == "i":
        return int(np.clip(value, -(2**62), 2**62))
    return value if wide else float(np.float32(value))


def judge_rows(model: Any, found: Any, served: OnnxModel, x: pd.DataFrame, tolerance: Any) -> list[str]:
    """One outcome a row."""
    outcomes = []
    for row in range(len(x)):
        one = x.iloc[[row]].astype(x.dtypes)
        refused = next(
            (why for name, limit in found.signature.limits.items() if (why := limit.refusal(one[name].to_numpy(_kind(one, name, found))))),
            "",
        )
        try:
            reference = found.ask(one)
            number = reference.values if reference.values.dtype.kind == "f" else reference.probabilities
            fine = number is None or bool(np.isfinite(number).all())
        except Exception:
            fine = False
        if refused:
            outcomes.append(REFUSED)
            continue
        try:
            said = served.answers(one)
            number = said.values if said.values.dtype.kind == "f" else said.probabilities
            answered = number is None or bool(np.isfinite(number).all())
        except Exception:
            answered = False
        if not answered:
            outcomes.append(REFUSED)  # the server refuses an answer that is no number
        elif not fine:
            outcomes.append(WRONG)
        else:
            differs = parity.differing(found.ask, said, reference, one, found.wide, tolerance)[0]
            outcomes.append(WRONG if differs else SAME)
            if differs:
                print(f"    {parity.shown(one, 0)}: {said.values[0]} instead of {reference.values[0]}", file=sys.stderr)
    return outcomes


def _kind(x: pd.DataFrame, name: str, found: Any) -> Any:
    return {"O": object, "i": "int64"}.get(x[name].dtype.kind) or ("float64" if name in found.wide else "float32")


def pipeline(model: Model, folder: Path) -> Counter[str]:
    """Outcomes of a pipeline, a class of rows and a row each."""
    target = "y" if model.task is Task.CLASSIFICATION else "z"
    other = "z" if target == "y" else "y"
    data = {"source": "a:b", "target": target, "exclude": [other]}
    spec = ModelSpec.model_validate({"name": "m", "task": model.task.value, "data": data})
    path = folder / "table.parquet"
    TABLES[model.table]().to_parquet(path)
    train, test = split_rows(path, spec)
    fitted = model.make().fit(train.x, train.y)
    tolerance = scaled(FLOAT32, train.y, model.task)
    try:
        found = exported(fitted, train, test, model.task, folder / "plain.onnx", tolerance)
    except InputError as error:
        clear = bool(error.where and error.remedy and len(error.what) > 30)
        print(f"  {model.name}: {error}", file=sys.stderr)
        return Counter({REFUSED if clear else UNCLEAR: 4 * EACH})
    served = OnnxModel(folder / "plain.onnx", found.signature)
    outcomes: Counter[str] = Counter()
    for kind in ("complete", "missing", "unseen", "extreme"):
        got = Counter(judge_rows(fitted, found, served, rows_of(kind, train, test), tolerance))
        if got[WRONG]:
            print(f"  {model.name}: {got[WRONG]} {kind} rows wrong", file=sys.stderr)
        outcomes += got
    return outcomes


def way(written: Way) -> Counter[str]:
    """Outcomes of reading a table with the settings it needs, and without."""
    expected = _values(written.expected())
    spec = ModelSpec.model_validate({"name": "m", "task": "classification", "data": {"source": "a:b", "target": "y"}})
    outcomes: Counter[str] = Counter()
    for settings in (written.settings, {}):
        csv = Csv.model_validate(settings)
        own = spec.model_copy(update={"data": spec.data.model_copy(update={"csv": csv})})
        try:
            frame, _ = tables.parse(Path("t.csv"), written.written(), csv)
            tables.check(frame, own)
        except InputError as error:
            clear = bool(error.where and error.remedy) and (written.unreadable or not settings)
            outcomes[REFUSED if clear else UNCLEAR] += 1
            continue
        same = _values(frame).equals(expected)
        outcomes[SAME if same else WRONG] += 1
        if not same:
            print(f"  {written.name} with {settings or 'no settings'}: read otherwise", file=sys.stderr)
    return outcomes


def _values(frame: pd.DataFrame) -> pd.DataFrame:
    """What a model sees of it."""
    spec = ModelSpec.model_validate({"name": "m", "task": "classification", "data": {"source": "a:b", "target": "y"}})
    return features(frame, feature_columns(spec.data, list(frame.columns)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.formats.tables", description=__doc__)
    parser.add_argument("--only", default="", help="only pipelines whose name holds this text")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    started = time.monotonic()
    chosen = [model for model in models() if args.only in model.name]
    print(f"{'':38}{SAME:>8}{REFUSED:>9}{WRONG:>16}{UNCLEAR:>9}")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            got = pipeline(model, Path(folder))
            total += got
            print(f"{model.name:38}{got[SAME]:8}{got[REFUSED]:9}{got[WRONG]:16}{got[UNCLEAR]:9}", flush=True)
    written = ways() if not args.only else []
    read: Counter[str] = Counter()
    for one in written:
        read += way(one)
    print(f"{f'{len(written)} ways to write a table':38}{read[SAME]:8}{read[REFUSED]:9}{read[WRONG]:16}{read[UNCLEAR]:9}")
    every = total + read
    figures = {
        "cases": sum(every.values()),
        "silently_wrong": every[WRONG],
        "unclear": every[UNCLEAR],
        "same": every[SAME],
        "refused": every[REFUSED],
        "pipelines": len(chosen),
        "ways": len(written),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
