"""One batch on disk: its output folder, what is being worked at in it, and what it has come to.

The answers (`answers.jsonl` and `errors.jsonl`, or `answers.parquet`), `report.json` and `report.md` appear whole when all is done. Until
then `<output>/.work` holds the
checked questions (`items.jsonl`) and a ledger a shard.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include import atomic
from include.batch import ledger
from include.batch.form import BatchForm
from include.batch.report import Report
from include.data.snapshot import hash_of
from include.errors import ComponentError, InputError
from include.spec.files import outside

WORK = ".work"
JOB, ITEMS = "job.json", "items.jsonl"
REPORT, PAGE = "report.json", "report.md"


@dataclass(frozen=True)
class Job:
    """A laid out batch. ``md5`` is that of the input's bytes, ``options`` what every request says besides its messages."""

    folder: Path
    model: str
    input: str
    md5: str
    options: Mapping[str, Any]
    lines: int
    shards: int

    @classmethod
    def lay_out(
        cls,
        folder: Path,
        source: Path,
        *,
        model: str,
        named: str,
        options: Mapping[str, Any],
        shards: int,
        form: BatchForm,
        bundle: Path | None = None,
    ) -> Job:
        """Check ``source`` (``named`` so by the user) and divide it; the same again is a no-op, so that a batch may be gone on with.

        Raises ``SpecError`` for bad lines, ``InputError`` when the folder holds anything else already.
        """
        md5 = _hash(source)
        wanted = {"model": model, "md5": md5, "options": dict(options)}
        work = folder / WORK
        if (work / JOB).exists():
            job = cls.read(folder)
            if {"model": job.model, "md5": job.md5, "options": dict(job.options)} != wanted:
                what = f"holds the answers of another batch ({job.input}, MD5 {job.md5}, {dict(job.options)})."
                raise InputError(what, where=str(folder), remedy="Name another output.")
            return job
        if folder.exists() and any(path.name != WORK for path in folder.iterdir()):
            raise InputError("holds other files.", where=str(folder), remedy="Name another output.")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, mode=0o700)
        lines = form.lay_out(source, work / ITEMS, bundle)
        job = cls(folder, model, named, md5, dict(options), lines, min(shards, lines))
        atomic.write(work / JOB, json.dumps({**asdict(job), "folder": ""}, indent=1))  # last: with it, all is there
        return job

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The batch laid out in ``folder``. ComponentError when there is none."""
        try:
            return cls(**{**json.loads((folder / WORK / JOB).read_text()), "folder": folder})
        except (OSError, ValueError, TypeError) as error:
            raise ComponentError(f"holds no batch ({error!r}).", where=str(folder), remedy="Run the batch again.") from error

    @property
    def items(self) -> Path:
        return self.folder / WORK / ITEMS

    def ledger(self, shard: int) -> Path:
        return self.folder / WORK / f"{shard:04}.jsonl"

    def bounds(self, shard: int) -> tuple[int, int]:
        """The shard's items: from the first to before the second."""
        return shard * self.lines // self.shards, (shard + 1) * self.lines // self.shards

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Yield what was recorded of every item, in order. ComponentError when one has no record, or two."""
        for shard in range(self.shards):
            found = ledger.records(self.ledger(shard))
            if [int(record["number"]) for record in found] != list(range(*self.bounds(shard))):
                where = str(self.ledger(shard))
                raise ComponentError("does not hold every line once.", where=where, remedy=f"Clear the task of shard {shard}.")
            yield from found

    def collect(self, form: BatchForm, instance: str) -> Report:
        """Put all answers in the input's order, and the report beside them. ComponentError when an item has no record, or two."""
        report = form.collect(self, instance)
        atomic.write(self.folder / REPORT, json.dumps(report.to_json(), indent=1))
        atomic.write(self.folder / PAGE, report.page())
        return report


def place(named: str, folder: Path, field: str) -> Path:
    """The path below ``folder`` that the user has ``named``. InputError when it would lead elsewhere."""
    if why := outside(named, folder):
        raise InputError(why.replace("the model's folder", str(folder)), where=field, remedy=f"Name a path below {folder}.")
    return folder / named


def output_of(model: str, run_id: str) -> str:
    """Where a run's answers go that names no output."""
    return f"{model}/{re.sub(r'[^0-9A-Za-z_.-]', '_', run_id)[:120]}"


def _hash(source: Path) -> str:
    try:
        if not source.is_file():
            raise InputError("there is no such file.", where=str(source), remedy="Correct `input`, or put the file there.")
        return hash_of(source)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}.", where=str(source), remedy="Mend its rights.") from None
