"""The right answers that a trial's versions know: those of the snapshots they were judged with, by prompt, in a file of the trial's own."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from include.data import chats
from include.data.snapshot import restore
from include.data.store import DataStore
from include.errors import UpdraftError
from include.registry.mlflow import Mlflow


def path_of(trials: Path, model: str) -> Path:
    """Where a model's trial has them."""
    return trials / f"{model}.db"


def gather(mlflow: Mlflow, store: DataStore, model: str, versions: Iterable[int], path: Path) -> list[str]:
    """Write the answers of the snapshots of ``versions`` to ``path``; where two differ on a prompt, the first version's count.

    So a champion is judged by what it was right by when it was made champion. Returns a sentence for each snapshot that can't be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    missing = []
    with closing(sqlite3.connect(path)) as answers, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        answers.execute("CREATE TABLE answers (prompt TEXT, answer TEXT, version INTEGER)")
        for order, version in enumerate(versions):
            try:
                md5 = mlflow.tags(str(mlflow.version(model, version)["run_id"]))["updraft.data.md5"]
                rows = chats.table(restore(md5, store, Path(folder) / "chats.jsonl"))
            except (UpdraftError, KeyError, OSError) as error:
                missing.append(f"The chats of version {version} can't be had: {error}")
                continue
            answers.executemany("INSERT INTO answers VALUES (?, ?, ?)", ((row.id, row.answer, order) for row in rows))
        answers.execute("CREATE INDEX of_prompt ON answers (prompt)")
        answers.commit()
    return missing


def of_prompt(path: Path, prompt: str) -> list[str]:
    """The right answers to the prompt with this id; none where it is unknown, or the file is gone."""
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as answers:
            rows = answers.execute("SELECT answer, version FROM answers WHERE prompt = ? ORDER BY version", (prompt,)).fetchall()
    except sqlite3.OperationalError:  # the trial is over: its files are being removed
        return []
    return [answer for answer, version in rows if version == rows[0][1]]
