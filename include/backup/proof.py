"""A backup counts once it has been restored in isolation and each champion has answered its golden inputs there.

In isolation: in a folder of its own, on ports of its own, by the same commands that a person uses, without Airflow (nothing begins a run,
nobody is told of anything), and away from every server that is not a process of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include import atomic
from include.backup.manifest import Manifest
from include.backup.seal import VARIABLE
from include.backup.take import folder
from include.errors import ComponentError
from include.runtime import family
from include.runtime.sandbox import users
from include.runtime.settings import Settings
from include.verdict import Decision, Rule, Verdict

LIMIT_S = 3600.0
BASES = range(33000, 60000, 500)
"""Port bases that are tried: above those that platforms usually have."""
PLACE = "proof-place"
"""Names the trial's folder while there is one."""
OFFSETS = (0, 50, 51, 54, 80, 90, *range(100, 130))


def conclude(facts: Mapping[str, Any]) -> Verdict:
    """Decide from what came of the trial: PASS when every champion answered, NOT KNOWN when one could not be asked here or there is none,
    FAIL otherwise. ``facts``: ``problem``, ``files``, ``bytes``, and ``champions``: model → ``version``, ``answered`` (None: not asked),
    ``figure``. Pure."""
    bar = "as the reference says"
    rules = [Rule("restored in isolation", not facts["problem"], facts["problem"] or f"{facts['files']} files", "every file as it was")]
    for model, found in sorted(facts["champions"].items()):
        rules.append(Rule(f"golden inputs of {model}", found["answered"], found["figure"], bar, f"version {found['version']}"))
    wrong = [rule for rule in rules if rule.passed is False]
    unknown = [rule for rule in rules if rule.passed is None]
    if wrong:
        return Verdict(Decision.FAIL, tuple(f"{rule.name}: {rule.figure}" for rule in wrong), tuple(rules), facts)
    if unknown:
        reasons = tuple(f"{rule.name}: not asked: {rule.figure}" for rule in unknown)
        return Verdict(Decision.NOT_KNOWN, reasons, tuple(rules), facts)
    if not facts["champions"]:
        return Verdict(Decision.NOT_KNOWN, ("There was no champion to be asked.",), tuple(rules), facts)
    count = len(facts["champions"])
    words = f"It was restored in isolation, and {'the champion' if count == 1 else f'all {count} champions'} answered the golden inputs."
    return Verdict(Decision.PASS, (words,), tuple(rules), facts)


def prove(settings: Settings, where: str, manifest: Manifest, passphrase: str) -> Verdict:
    """Restore the backup, have its champions asked, and take all of it away again. The caller holds :func:`include.backup.take.alone`."""
    facts: dict[str, Any] = {"problem": "", "files": len(manifest.files), "bytes": manifest.size_bytes, "champions": {}}
    note = folder(settings) / PLACE
    _clear(note)  # what a killed one has left goes on running
    place = Path(tempfile.mkdtemp(prefix="ud-proof-"))
    place.chmod(0o711)
    atomic.write(note, str(place))
    home = place / "h"
    environment = _environment(settings, place, home, passphrase)
    started = time.monotonic()
    try:
        _call(["restore", where, "--name", manifest.name], environment, settings)
        facts["restore_s"] = round(time.monotonic() - started, 2)
        facts["champions"] = json.loads(_call(["answer"], environment, settings).splitlines()[-1])
        facts["seconds"] = round(time.monotonic() - started, 2)
    except ComponentError as error:
        facts["problem"] = str(error)
    finally:
        _clear(note)
    return conclude(facts)


def _clear(note: Path) -> None:
    """End what runs at the place that a note names, and take the place away."""
    if not note.exists():
        return
    place = Path(note.read_text())
    family.end(str(place / "h"), grace_s=10)
    users.end_noted(place / "h" / users.COUNTER)
    shutil.rmtree(place, ignore_errors=True)
    note.unlink()


def free_base() -> int:
    """Return a port base at which nobody listens. Raises ComponentError where there is none."""
    for base in BASES:
        if all(_free(base + offset) for offset in OFFSETS):
            return base
    raise ComponentError("there are no free ports to try the backup at.", where="127.0.0.1", remedy="End what holds them.")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _environment(settings: Settings, place: Path, home: Path, passphrase: str) -> dict[str, str]:
    """What the trial's processes see: nothing that leads to the platform that was backed up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UPDRAFT_", "AIRFLOW", "MLFLOW_TRACKING"))}
    return kept | {
        "UPDRAFT_HOME": str(home),
        "UPDRAFT_RUNTIMES": str(settings.runtimes),
        "UPDRAFT_PORT_BASE": str(free_base()),
        "UPDRAFT_MODELS": str(place / "models"),
        "UPDRAFT_POINTER": str(place / "running"),
        VARIABLE: passphrase,
        "PYTHONPATH": f"{settings.repo}:{settings.repo / 'plugins'}",
    }


def _call(arguments: Sequence[str], environment: Mapping[str, str], settings: Settings) -> str:
    command = [sys.executable, "-m", "include.backup", *arguments]
    try:
        done = subprocess.run(
            command, env=dict(environment), cwd=settings.repo, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise ComponentError(f"did not end within {LIMIT_S:.0f} s.", where=arguments[0]) from None
    if done.returncode:
        raise ComponentError(" ".join((done.stderr.strip() or done.stdout.strip())[-800:].split()), where=arguments[0])
    return done.stdout
