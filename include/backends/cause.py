"""Why a server did not start, out of its log: its answers over HTTP do not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

TAIL_BYTES = 64 * 1024
FALLBACK_LINES = 5


def last_cause(log: Path, patterns: Sequence[re.Pattern[str]], since: int = 0) -> str:
    """The cause as one paragraph, by the first of the patterns that is found; the last few lines when none is.

    What the log held before byte ``since`` is of an earlier start, unless the log was begun anew meanwhile.
    """
    try:
        text = log.read_bytes()
    except OSError:
        return "it logged nothing."
    lines = text[since if since <= len(text) else 0 :][-TAIL_BYTES:].decode(errors="replace").splitlines()
    for pattern in patterns:
        found = [match for line in lines if (match := pattern.search(line))]
        if found:
            return found[-1].group(found[-1].re.groups).replace("\\n", "\n").strip()
    return " | ".join(line.strip() for line in lines[-FALLBACK_LINES:] if line.strip()) or "it logged nothing."
