"""When backups are made by themselves, where they go and how long they stay: `plan.json` in the home's folder `backup`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from include import atomic
from include.backup.retention import DAYS, KEEP
from include.errors import InputError
from include.spec import cron

FILE = "plan.json"
DAG_ID = "updraft_backup"
"""Of the DAG that keeps to it."""
MOST = 10_000


@dataclass(frozen=True)
class Plan:
    """``at``: a cron expression (UTC); ``keep``: so many of the newest stay, however old; ``days``: so many days each stays."""

    to: str
    at: str = "0 3 * * *"
    keep: int = KEEP
    days: int = DAYS

    def fault(self) -> str:
        """Say what is wrong with it; "" for nothing."""
        if not self.to:
            return "TO: no place is named."
        if why := cron.fault(self.at):
            return f"AT: {why}"
        for name, value in (("KEEP", self.keep), ("DAYS", self.days)):
            least = 1 if name == "KEEP" else 0
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
                return f"{name}: {value!r:.40} is no number from {least} to {MOST}."
        return ""


def save(folder: Path, plan: Plan) -> None:
    """Keep a plan. Raises InputError for one that can't be kept to."""
    if why := plan.fault():
        raise InputError(
            why, where="the plan of backups", remedy='Say, for example: make backup-plan TO=/mnt/elsewhere AT="0 3 * * *" KEEP=7.'
        )
    atomic.write(folder / FILE, json.dumps(asdict(plan), indent=1))


def read(folder: Path) -> Plan | None:
    """Return the plan; None where there is none. Raises InputError for a file that holds something else."""
    path = folder / FILE
    try:
        found = Plan(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"is no plan ({error}).", where=str(path), remedy="Run `make backup-plan TO=...` again.") from None
    if why := found.fault():
        raise InputError(why, where=str(path), remedy="Run `make backup-plan TO=...` again.")
    return found
