"""Scales models by their load: what is under way at the gateway is looked at each second, and the number of servers follows it.

After its own end it looks anew for as long as a change asks for: a new process takes no server away sooner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from include.errors import UpdraftError
from include.gateway.admin import Admin
from include.replicas.load import Aim, Sample, change, kept
from include.replicas.number import Bounds, number_for
from lifecycle.db import replicas, serving
from lifecycle.db.serving import LIFECYCLE

_UNDER_WAY = re.compile(r"cluster\.([a-z][a-z0-9_]*)-[0-9]+(?:-over-[0-9-]+)?\.upstream_rq_(?:active|pending_active)")


def under_way(admin: Admin) -> dict[str, float]:
    """Return how many requests of each model are with its servers, or wait for one."""
    found: dict[str, float] = {}
    for name, count in admin.counters(r"upstream_rq_(active|pending_active)$").items():
        if known := _UNDER_WAY.fullmatch(name):
            found[known[1]] = found.get(known[1], 0.0) + count
    return found


class Loads:
    """One look at the load of all models that are scaled by it is one :meth:`round`. ``aims``: what their specs say, by name."""

    def __init__(self, aims: Callable[[], Mapping[str, Aim]], load: Callable[[], Mapping[str, float]], say: Callable[[str], None]) -> None:
        self._aims, self._load, self._say = aims, load, say
        self._samples: dict[str, list[Sample]] = {}
        self._problem = ""

    def round(
        self, session: Session, bounds: Mapping[str, Bounds], said: Mapping[str, int], now: datetime, clock_s: float
    ) -> dict[str, int]:
        """Take a sample, and write down what is due; the numbers from now on, ``said`` by name included. The caller commits."""
        aims = self._aims()
        self._samples = {name: samples for name, samples in self._samples.items() if name in aims}
        if not aims:
            return dict(said)
        try:
            load = self._load()
        except UpdraftError as error:  # nothing is known: nothing is changed, and what was seen before does not count for later
            self._tell(str(error))
            self._samples = {}
            return dict(said)
        found = dict(said)
        for name, aim in aims.items():
            samples = kept([*self._samples.get(name, []), Sample(clock_s, load.get(name, 0.0))], aim, clock_s)
            self._samples[name] = samples
            allowed = bounds.get(name, Bounds())
            count = number_for(allowed, said.get(name), asked=True)
            if (due := change(aim, allowed, count, samples, clock_s)) is not None:
                found[name] = due.replicas
                serving.act(session, LIFECYCLE, "scale", (name, None), due.reason, replicas={"before": count, "after": due.replicas})
                replicas.scale(session, name, due.replicas, LIFECYCLE, due.reason, now)
                self._say(f"{name}: {due.replicas} servers from now on, {count} before. {due.reason}")
        self._problem = ""
        return found

    def _tell(self, text: str) -> None:
        """Once: a gateway that is away is no news at every look."""
        if text != self._problem:
            self._say(text)
        self._problem = text
