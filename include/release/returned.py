"""The verdict of a return by hand: a person's, of whom Airflow's run says the name."""

from __future__ import annotations

from include.verdict import Decision, Verdict


def returned(champion: int, version: int) -> Verdict:
    """PROMOTE of ``version`` in the place of ``champion``."""
    reason = f"Production went from version {champion} to version {version} by hand."
    return Verdict(Decision.PROMOTE, (reason,), evidence={"champion": champion, "version": version})
