"""When each caller last came: out of the access log into a small file that outlives it."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock

from include import atomic
from include.errors import ComponentError
from include.gateway.observe import MIRROR, Cursor, read_entries


class LastUse:
    """The table in ``file``, kept up with the access log ``log``: client to seconds since the epoch."""

    def __init__(self, log: Path, file: Path) -> None:
        self._log, self._file = log, file

    def update(self) -> dict[str, float]:
        """Add what has been logged since the last time; the whole table. Often enough, that is before the log's files are dropped."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file.with_name(f"{self._file.name}.lock")):
            found, since = self._read()
            entries, cursor = read_entries(self._log, since)
            for entry in entries:
                if entry.client and entry.kind != MIRROR:
                    found[entry.client] = max(found.get(entry.client, 0.0), entry.time_s)
            if cursor != since:
                atomic.write(self._file, json.dumps({"cursor": cursor.to_json(), "clients": found}, indent=1))
            return found

    def _read(self) -> tuple[dict[str, float], Cursor]:
        try:
            data = json.loads(self._file.read_text())
            return dict(data["clients"]), Cursor.from_json(data["cursor"])
        except FileNotFoundError:
            return {}, Cursor()
        except (ValueError, KeyError, TypeError) as error:
            what = f"is no table of last uses ({type(error).__name__})."
            raise ComponentError(what, where=str(self._file), remedy="Put it aside; it begins anew.") from error
