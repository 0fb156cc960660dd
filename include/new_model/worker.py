"""Looks into a file of data, and makes the model, in a process of its own: whatever the file does to it, whoever asked goes on.

    python -m include.new_model.worker < request.json

The request's fields are :class:`Request`'s. The answer is JSON on standard output: what was asked for, or `error`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Literal

from include.errors import ComponentError, InputError, UpdraftError
from include.new_model import shown, templates
from include.new_model.answers import Answers, check_name
from include.new_model.folder import contents, make
from include.new_model.plan import planned, portrayed
from include.new_model.table_file import look
from include.runtime.settings import REPO
from include.spec.problem import SpecError
from include.spec.schema import Task

MEMORY_BYTES = 12 << 30
"""Address space of the process: a crafted Parquet file unpacks to any size."""
SECONDS = 300
AT_ONCE = BoundedSemaphore(2)
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG")
"""What it is told of the environment: no secret of the platform's."""
MOST_PREVIEW = 200_000
"""Characters of a file that is shown before it is written."""


@dataclass(frozen=True)
class Request:
    """``act``: `look` into the file (and propose, where a target is named), `preview` the model's files, or `make` it."""

    act: Literal["look", "preview", "make"]
    path: str
    models: str
    name: str = ""
    target: str = ""
    task: str | None = None
    template: str = ""
    team: str = ""
    description: str = ""
    use: list[str] | None = None
    rules: list[int] | None = None
    min_score: float | None = None
    csv: dict[str, str] = field(default_factory=dict)
    mend_header: bool = False


def run(request: Request) -> dict[str, Any]:
    """Do what is asked, here. Raises UpdraftError."""
    models = Path(request.models)
    known = templates.find(models / templates.OWN)
    file = look(Path(request.path), request.csv, mend_header=request.mend_header or request.act == "look")
    answers = Answers(
        name=request.name,
        data=Path(request.path),
        target=request.target,
        template=request.template,
        task=Task(request.task) if request.task else None,
        team=request.team,
        description=request.description,
        use=tuple(request.use) if request.use is not None else None,
        rules=tuple(request.rules) if request.rules is not None else None,
        min_score=request.min_score,
        csv=request.csv,
        mend_header=request.mend_header,
    )
    if request.act == "look":
        found = shown.look(file, portrayed(file, request.target or None))
        if request.target:
            plan = planned(answers, known, file)
            found["plan"] = shown.plan(plan, plan.rules)
        return found
    check_name(request.name, models)
    plan = planned(answers, known, file)
    if request.act == "make":
        return {"folder": str(make(plan, models))}
    files = contents(plan, models)
    return {"files": {name: files[name].decode(errors="replace")[:MOST_PREVIEW] for name in sorted(files)}}


def apart(request: Request) -> dict[str, Any]:
    """The same, in a process of its own, at most two at once. Raises InputError for what the file or the answers are at fault for,
    ComponentError when others are looked into already."""
    if not AT_ONCE.acquire(timeout=30):
        raise ComponentError("two files are looked into already.", remedy="Ask again in a minute.")
    try:
        return _answer(_apart(json.dumps(asdict(request))))
    finally:
        AT_ONCE.release()


def _apart(text: str) -> bytes:
    command = [sys.executable, "-m", "include.new_model.worker"]
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(REPO), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "GX_ANALYTICS_ENABLED": "false"}
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPO, env=environment, start_new_session=True
        ) as process:
            try:
                return process.communicate(text.encode(), timeout=SECONDS)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                what = f"could not be looked into within {SECONDS} s."
                raise InputError(what, where="the file", remedy="Bring a smaller one, or make the model by `make new-model`.") from None
    except OSError as error:
        raise ComponentError(f"no process could be started: {error.strerror}.", remedy="Ask again.") from None


def _answer(out: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        what = "ended the process that looked into it: it may need more memory than there is."
        raise InputError(what, where="the file", remedy="Bring a smaller one, or the same as CSV.") from None
    if error := found.get("error"):
        raise InputError(error["what"], where=error["where"], remedy=error["remedy"])
    return found


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no part of the answer
    try:
        answer = run(Request(**json.load(sys.stdin)))
    except SpecError as error:
        answer = {"error": {"what": str(error), "where": "", "remedy": ""}}
    except UpdraftError as error:
        answer = {"error": {"what": error.what, "where": error.where, "remedy": error.remedy}}
    except MemoryError:
        answer = {"error": {"what": "needs more memory than there is for it.", "where": "the file", "remedy": "Bring a smaller one."}}
    json.dump(answer, out, default=str, allow_nan=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
