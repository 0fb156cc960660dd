"""What the watch knows of each model, as it is kept between two runs of it: one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from include import atomic
from include.canary.observations import Look
from include.canary.plan import TrialPlan
from include.gateway.observe import Cursor
from include.watch.life import Life

DAY_S = 86_400.0
Json = dict[str, Any]


@dataclass(frozen=True)
class OnTrial:
    """A trial after a suspicion: ``previous`` answers callers since ``since_s`` (seconds since the epoch), the champion gets copies."""

    previous: int
    since_s: float
    plan: TrialPlan
    looks: tuple[Look, ...] = ()

    def to_json(self) -> Json:
        return {**vars(self), "plan": self.plan.to_json(), "looks": [look.to_json() for look in self.looks]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OnTrial:
        looks = tuple(Look.from_json(look) for look in data["looks"])
        return cls(data["previous"], data["since_s"], TrialPlan.from_json(data["plan"]), looks)


@dataclass(frozen=True)
class Return:
    """Production goes back from ``champion`` to ``version`` by a run of the model's rollback DAG with this id, because of ``reason``."""

    champion: int
    version: int
    run_id: str
    reason: str


@dataclass(frozen=True)
class Watched:
    """One model: what it is at (``trial``, ``returning``), the times of its returns, and the ``condemned`` versions: nothing goes back to
    one that the watch has taken out. ``reported`` is the version whose harm has been reported and not acted on."""

    life: Life | None = None
    trial: OnTrial | None = None
    returning: Return | None = None
    acts: tuple[float, ...] = ()
    condemned: tuple[int, ...] = ()
    reported: int | None = None

    def to_json(self) -> Json:
        made = {"life": self.life, "trial": self.trial}
        plain = {"acts": list(self.acts), "condemned": list(self.condemned), "reported": self.reported}
        returning = vars(self.returning) if self.returning else None
        return {name: value.to_json() if value else None for name, value in made.items()} | plain | {"returning": returning}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Watched:
        return cls(
            life=Life.from_json(data["life"]) if data["life"] else None,
            trial=OnTrial.from_json(data["trial"]) if data["trial"] else None,
            returning=Return(**data["returning"]) if data["returning"] else None,
            acts=tuple(data["acts"]),
            condemned=tuple(data["condemned"]),
            reported=data["reported"],
        )

    def acted(self, now_s: float, champion: int) -> Watched:
        """Return the model after a return from the version ``champion``."""
        acts = (*(act for act in self.acts if now_s - act < DAY_S), now_s)
        return replace(self, trial=None, acts=acts, condemned=(*self.condemned, champion)[-100:])


@dataclass(frozen=True)
class State:
    """All models, up to the place ``cursor`` in the gateway's log, at ``at_s`` (seconds since the epoch); ``unsent`` verdicts wait for
    somebody who takes them."""

    cursor: Cursor = field(default_factory=Cursor)
    at_s: float = 0.0
    models: Mapping[str, Watched] = field(default_factory=dict)
    unsent: tuple[Json, ...] = ()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        models = {name: watched.to_json() for name, watched in self.models.items()}
        atomic.write(path, json.dumps({"cursor": self.cursor.to_json(), "at_s": self.at_s, "models": models, "unsent": self.unsent}))

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; a file that is away or unreadable is one that knows nothing."""
        try:
            data = json.loads(path.read_text())
            models = {name: Watched.from_json(watched) for name, watched in data["models"].items()}
            return cls(Cursor.from_json(data["cursor"]), data["at_s"], models, tuple(data["unsent"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()
