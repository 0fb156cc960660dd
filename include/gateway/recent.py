"""What the gateway has just been asked, model by model: the last minute of its access log, read from the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.canary.observations import Latencies
from include.gateway.observe import LIVE, Entry, rotated

WINDOW_S = 60.0
PIECE_BYTES = 256 * 1024
MOST_BYTES = 4 * 1024 * 1024
"""Of the log that are read at most: of a gateway busier than that, the figures are those of fewer seconds."""
OUT_OF_ORDER_S = 120.0
"""Lines are written when their requests end: one this much older than the window tells that all before it are older, too."""
PASSED_THROUGH = "/models/"
"""Beginning of the paths of servers that speak a protocol of their own."""


@dataclass(frozen=True)
class Recent:
    """One model's live requests of the last ``seconds``: how many a minute, the share of them that failed, and the time of the median.

    ``error_rate`` and ``p50_ms`` are None where no request was there to tell them.
    """

    per_minute: float
    error_rate: float | None
    p50_ms: float | None


def recent(log: Path, now_s: float, window_s: float = WINDOW_S, most_bytes: int = MOST_BYTES) -> dict[str, Recent] | None:
    """Return what each model was asked in the last ``window_s`` seconds before ``now_s``; a model that nobody asked is absent.

    None when there is no log: no gateway of this machine's has ever run, or it cannot be read.
    """
    if not log.exists():
        return None
    since_s, found, whole, oldest_s = now_s - window_s, list[Entry](), False, now_s
    try:
        for entry in _backwards(log, most_bytes):
            if entry.time_s < since_s - OUT_OF_ORDER_S:
                whole = True
                break
            oldest_s = min(oldest_s, entry.time_s)
            if since_s <= entry.time_s <= now_s:
                found.append(entry)
        else:
            whole = sum(path.stat().st_size for path in rotated(log) if path.exists()) <= most_bytes
    except OSError:
        return None
    return figures(found, window_s if whole or oldest_s <= since_s else max(now_s - oldest_s, 1.0))


def figures(entries: Iterable[Entry], seconds: float) -> dict[str, Recent]:
    """Return each model's figures of these entries, which cover so many seconds. Pure."""
    of: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.model and entry.kind == LIVE and (entry.inference or entry.path.startswith(PASSED_THROUGH)):
            of.setdefault(entry.model, []).append(entry)
    return {model: _figures(mine, seconds) for model, mine in of.items()}


def _figures(entries: list[Entry], seconds: float) -> Recent:
    judged = [entry for entry in entries if not entry.callers_fault]
    fine = [entry.latency_us / 1000 for entry in judged if not entry.error and entry.latency_us is not None]
    share = sum(entry.error for entry in judged) / len(judged) if judged else None
    return Recent(len(entries) * 60 / seconds, share, Latencies.of(fine).quantile(0.5))


def _backwards(log: Path, most_bytes: int) -> Iterator[Entry]:
    """Yield the entries of the log and of its older files, the last one first, out of its last ``most_bytes``."""
    for lines in pieces_backwards(log, most_bytes):
        yield from (entry for line in reversed(lines) if (entry := Entry.parse(line)) is not None)


def pieces_backwards(log: Path, most_bytes: int) -> Iterator[list[bytes]]:
    """Yield the whole lines of the log and of its older files in pieces, the last piece first, out of its last ``most_bytes``."""
    left = most_bytes
    for path in rotated(log):
        if left <= 0 or not path.exists():
            continue
        with path.open("rb") as file:
            end, rest = file.seek(0, 2), b""
            while end > 0 and left > 0:
                begin = max(end - min(PIECE_BYTES, left), 0)
                file.seek(begin)
                piece = file.read(end - begin) + rest
                left, end = left - (end - begin), begin
                lines = piece.split(b"\n")
                rest = lines.pop(0) if begin else b""
                yield [line for line in lines if line]
