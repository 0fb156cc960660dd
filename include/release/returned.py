"""The verdict of a return by hand: a person's."""

from __future__ import annotations

from include.verdict import Decision, Verdict


def returned(champion: int, version: int, who: str, why: str = "") -> Verdict:
    """PROMOTE of ``version`` in the place of ``champion``, by ``who`` because of ``why``."""
    reason = f"Production went from version {champion} to version {version} by hand, by {who}{': ' + why if why else '.'}"
    return Verdict(Decision.PROMOTE, (reason,), evidence={"champion": champion, "version": version, "who": who, "why": why})
