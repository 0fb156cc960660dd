"""The verdict of a deployment whose server speaks a protocol of its own."""

from __future__ import annotations

from include.verdict import Decision, Verdict


def unasked(protocol: str) -> Verdict:
    """PASS of a server that is ready and can't be asked anything."""
    what = "The server is ready; what it speaks is its own, so no golden input was asked."
    return Verdict(Decision.PASS, (what,), evidence={"protocol": protocol})
