"""Why a Triton server did not start, out of its log: the server's answers over HTTP do not say."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 64 * 1024
FALLBACK_LINES = 5
_CAUSES = (
    re.compile(r"failed to load '[^']*' version \d+: (.*?)\"?$"),
    re.compile(r"(Error parsing text-format .*)$"),
    re.compile(r"failed to poll model repository.*|Poll failed for model.*"),
    re.compile(r"error: creating server: (.*)$"),
    re.compile(r"Failed to initialize Python stub: (.*)$"),
)
"""In the order of how much they say."""


def last_cause(log: Path) -> str:
    """The cause as one paragraph; the last few lines when nothing is recognised."""
    try:
        text = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return "it logged nothing."
    lines = text.splitlines()
    for pattern in _CAUSES:
        found = [match for line in lines if (match := pattern.search(line))]
        if found:
            return found[-1].group(found[-1].re.groups).replace("\\n", "\n").strip()
    return " | ".join(line.strip() for line in lines[-FALLBACK_LINES:] if line.strip()) or "it logged nothing."
