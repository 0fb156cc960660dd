"""What comes of a request: a grant, or a refusal with its reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from include.placement.workload import Workload
from include.verdict import Decision, Verdict


@dataclass(frozen=True)
class Grant:
    """Devices of one node, by ``indexes`` and ``uuids``, ``milli`` of each (0 without devices), and the policy's ``score``."""

    node: str
    indexes: tuple[int, ...]
    uuids: tuple[str, ...]
    milli: int
    score: float


@dataclass(frozen=True)
class Refusal:
    """A sentence from each filter that dropped nodes, in order; together they account for every node.

    ``nearest`` is set when it can never be placed: the nearest request that could be.
    """

    reasons: tuple[str, ...]
    nearest: Workload | None = None


@dataclass(frozen=True)
class Placement:
    """Exactly one of ``grant`` and ``refusal`` is set."""

    request: Workload
    grant: Grant | None
    refusal: Refusal | None

    def verdict(self) -> Verdict:
        """The same as a verdict, for records and pages."""
        evidence = {"request": _plain(self.request)}
        if self.grant is not None:
            where = f" GPU {', '.join(map(str, self.grant.indexes))}" if self.grant.indexes else ""
            share = f" ({self.grant.milli / 10:g} % of it)" if self.request.shared else ""
            return Verdict(
                Decision.PASS, (f"Placed on {self.grant.node}{where}{share}.",), evidence=evidence | {"grant": asdict(self.grant)}
            )
        assert self.refusal is not None
        reasons = self.refusal.reasons
        if self.refusal.nearest is not None:
            nearest = _plain(self.refusal.nearest)
            evidence["nearest"] = nearest
            said = ", ".join(f"{name}={value}" for name, value in nearest.items() if value)
            reasons = (*reasons, f"It can never be placed here. The nearest that could: {said or 'none'}.")
        return Verdict(Decision.FAIL, reasons or ("There are no nodes.",), evidence=evidence)


def _plain(request: Workload) -> dict[str, object]:
    """JSON types."""
    plain = asdict(replace(request, models=frozenset()))
    return plain | {"models": sorted(request.models), "labels": dict(request.labels)}
