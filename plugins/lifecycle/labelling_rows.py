"""The rows that a round of labelling chooses from, with what versions of the model that run say of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from include.bundles.signature import Signature
from include.data import table as tables
from include.data.snapshot import restore
from include.data.store import DataStore
from include.errors import InputError
from include.labels import ask, kept
from include.labels.choose import Candidate
from include.labels.rows import Row, of_log, of_table, sampled
from include.labels.strange import strangeness
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS
from include.release import bundle as bundles
from include.serving.kubernetes.gateway import gateway_of
from include.spec.label import LOG, SNAPSHOT, Strategy

if TYPE_CHECKING:
    import pandas as pd

    from lifecycle.labelling import Job

Say = Callable[..., None]


def champion_of(job: Job) -> int | None:
    """Return the version in production; None before the first."""
    found = job.run.mlflow.aliases(job.run.model).get(CHAMPION)
    return None if found is None else int(found)


def candidates(job: Job, champion: int | None, say: Say) -> list[Candidate]:
    """Return rows that nobody has labelled, with the champion's answers; where it matters, with those of another version that runs."""
    rows, ids = _rows(job, champion)
    known = set(kept.read(job.rows)["key"])
    rows = sampled(rows, known, job.run.key)
    if not rows or champion is None:
        say("%s rows to choose from; %s", len(rows), "nothing is in production to ask." if champion is None else "")
        return [Candidate(key, row, request=ids.get(key, "")) for key, row in rows.items()]
    said = {version: _asked(job, version, list(rows.values())) for version in _versions(job, champion, say)}
    first, strange = said[champion], _strange(job, champion, list(rows.values()))
    found = []
    for place, (key, row) in enumerate(rows.items()):
        answers = {version: answered[place][0] for version, answered in said.items()}
        found.append(Candidate(key, row, answers, first[place][1], ids.get(key, ""), strange[place]))
    return found


def _strange(job: Job, champion: int, rows: list[Row]) -> list[float]:
    """How strange each row is beside those that the champion has learnt from; all alike where nobody asks."""
    if Strategy.DRIFTED not in job.label.choose:
        return [0.0] * len(rows)
    features = list(Signature.read(_bundle(job, champion) / "signature.json").features)
    return strangeness(rows, _snapshot(job, champion), features)


def _rows(job: Job, champion: int | None) -> tuple[dict[str, Row], dict[str, str]]:
    run, label = job.run, job.label
    if label.rows == LOG:
        return _of_log(job, champion)
    frame = _snapshot(job, champion) if label.rows == SNAPSHOT else tables.read(run.folder / label.rows, run.spec.data.csv)
    return of_table(frame, run.model, run.spec.data.target), {}


def _of_log(job: Job, champion: int | None) -> tuple[dict[str, Row], dict[str, str]]:
    from include import predictions

    if champion is None:
        raise InputError("nothing is in production, so nothing is logged.", where="label.rows", remedy="Run the lifecycle first.")
    now = datetime.now(UTC)
    logged = predictions.read(job.run.settings, job.run.model, now - timedelta(days=job.label.days), now)
    labelled = set(predictions.labels(job.run.settings, job.run.model)["id"])
    features = list(Signature.read(_bundle(job, champion) / "signature.json").features)
    return of_log(logged, features, job.run.model, labelled)


def _snapshot(job: Job, champion: int | None) -> pd.DataFrame:
    if champion is None:
        raise InputError("nothing is in production, so there is no snapshot.", where="label.rows", remedy="Run the lifecycle first.")
    version = job.run.mlflow.version(job.run.model, champion)
    tags = job.run.mlflow.tags(str(version["run_id"]))
    md5, name = tags.get("updraft.data.md5", ""), tags.get("updraft.data.name", "table.parquet")
    path = restore(md5, DataStore.of(job.run.settings), job.file(name))
    return tables.read(path, job.run.spec.data.csv)


def _bundle(job: Job, version: int) -> Path:
    return bundles.fetch(job.run.mlflow, job.run.model, version, job.run.settings.home / "bundles")


def _versions(job: Job, champion: int, say: Say) -> list[int]:
    """The champion, and where rows that versions disagree on are wanted, another that runs."""
    found = [champion]
    if Strategy.DISAGREEING in job.label.choose:
        aliases = job.run.mlflow.aliases(job.run.model)
        running = gateway_of(job.run.settings, job.run.model).revisions(job.run.model)
        others = [int(aliases[name]) for name in (CHALLENGER, PREVIOUS) if name in aliases and str(aliases[name]) in running]
        found += [version for version in others if version != champion][:1]
        if len(found) == 1:
            say("Only version %s runs: there is nothing that it could disagree with.", champion)
    return found


def _asked(job: Job, version: int, rows: list[Row]) -> list[ask.Answer]:
    features = list(Signature.read(_bundle(job, version) / "signature.json").features)
    if missing := [name for name in features if name not in rows[0]]:
        where, remedy = f"label.rows: {job.label.rows}", f"It has {', '.join(rows[0])[:300]}."
        raise InputError(f"has no column {missing[0]!r}, which the model takes.", where=where, remedy=remedy)
    plain = [{name: row[name] for name in features} for row in rows]
    gateway = gateway_of(job.run.settings, job.run.model)
    headers = gateway.batch_headers(str(version))
    return ask.answers(job.run.settings.gateway_url, headers, job.run.model, plain, job.run.spec.serve.at_once)
