"""Who answers under a model's name while nothing of its own can: what specs wish, what is seen, what the gateway does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.gateway.table import Table
from include.reconcile.fallback import Standing, Switch, decide_fallback

Key = tuple[str, int]


@dataclass
class _Since:
    """Since when (one clock, seconds) something of the model's own is ready, or nothing is."""

    up: bool
    at_s: float


class StandIns:
    """``wishes``: each model's fallback, as the specs name it. One look is one :meth:`round`."""

    def __init__(self, gateway: Callable[[], Gateway], wishes: Callable[[], Mapping[str, str]], say: Callable[[str], None]) -> None:
        self._gateway, self._wishes, self._say = gateway, wishes, say
        self._since: dict[str, _Since] = {}
        self._first = True

    def round(self, ready: Collection[Key], unknown: Collection[str], wanted: Collection[str], clock_s: float) -> list[tuple[str, Switch]]:
        """Switch what is due, and return it. ``ready``: revisions that are; ``unknown``: models that could not be looked at, which stay as
        they are; ``wanted``: models that somebody wants to serve."""
        wishes = self._wishes()
        if not wishes and not self._first and not self._since:
            return []
        gateway = self._gateway()
        table = gateway.table()
        self._first = False
        found = []
        for model in sorted({*wishes, *table.fallbacks}):
            live = self._ready(table, model, ready)
            since = self._since.get(model)
            if since is None or since.up is not live:
                since = self._since[model] = _Since(live, clock_s)
            if model in unknown:
                continue
            other = wishes.get(model)
            standing = Standing(
                wished=other,
                active=table.stand_in(model),
                wanted=model in wanted,
                down_s=0.0 if live else clock_s - since.at_s,
                up_s=clock_s - since.at_s if live else 0.0,
                other_live=other is not None and self._ready(table, other, ready),
                fits=_fits(table, model, other),
            )
            if (switch := decide_fallback(model, standing)) is not None and self._switch(gateway, model, switch):
                found.append((model, switch))
        self._since = {model: since for model, since in self._since.items() if model in wishes or model in table.fallbacks}
        return found

    def _switch(self, gateway: Gateway, model: str, switch: Switch) -> bool:
        try:
            gateway.set_fallback(model, switch.by)
        except UpdraftError as error:
            self._say(f"{model}: its fallback could not be switched. {error}")
            return False
        self._say(f"{model}: {switch.by or 'itself'} answers from now on. {switch.reason}")
        return True

    @staticmethod
    def _ready(table: Table, model: str, ready: Collection[Key]) -> bool:
        split = table.splits.get(model)
        return split is not None and any((model, int(version)) in ready for version, weight in split.weights.items() if weight)


def _fits(table: Table, model: str, other: str | None) -> bool:
    if other is None or other not in table.models or model not in table.models:
        return True
    return table.protocol(model) == table.protocol(other)
