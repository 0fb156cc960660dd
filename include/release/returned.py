"""The verdict of a return: a person's, an alert's, or that of the watch which found harm."""

from __future__ import annotations

from include.verdict import Decision, Verdict

WATCH, ALERT = "the watch", "an alert"
"""Who returned production where no person did."""


def returned(champion: int, version: int, who: str, why: str = "") -> Verdict:
    """PROMOTE of ``version`` in the place of ``champion``, by ``who`` because of ``why``."""
    how = f"by {who}" if who in (WATCH, ALERT) else f"by hand, by {who}"
    reason = f"Production went from version {champion} to version {version} {how}{': ' + why if why else '.'}"
    return Verdict(Decision.PROMOTE, (reason,), evidence={"champion": champion, "version": version, "who": who, "why": why})
