"""Why a server did not start, out of its log: its answers over HTTP do not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

TAIL_BYTES = 64 * 1024
FALLBACK_LINES = 5
TRITON = (
    re.compile(r"failed to load '[^']*' version \d+: (.*?)\"?$"),
    re.compile(r"(Error parsing text-format .*)$"),
    re.compile(r"failed to poll model repository.*|Poll failed for model.*"),
    re.compile(r"error: creating server: (.*)$"),
    re.compile(r"Failed to initialize Python stub: (.*)$"),
)
"""What Triton says, in the order of how much it tells."""


def last_cause(log: Path, patterns: Sequence[re.Pattern[str]] = TRITON) -> str:
    """The cause as one paragraph, by the first of the patterns that is found; the last few lines when none is."""
    try:
        text = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return "it logged nothing."
    lines = text.splitlines()
    for pattern in patterns:
        found = [match for line in lines if (match := pattern.search(line))]
        if found:
            return found[-1].group(found[-1].re.groups).replace("\\n", "\n").strip()
    return " | ".join(line.strip() for line in lines[-FALLBACK_LINES:] if line.strip()) or "it logged nothing."
