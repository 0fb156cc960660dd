"""The gateway's routing table: which revisions there are and who gets how much; read back from Envoy's clusters and routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from include.errors import InputError
from include.gateway.endpoint import Endpoint, check_model, parse_cluster
from include.spec.serve import Protocol

Json = dict[str, Any]


@dataclass(frozen=True)
class Tap:
    """Where copies of a share of a model's requests go besides, to be read: a Unix socket's path, and the percent."""

    socket: str
    percent: int


@dataclass(frozen=True)
class Split:
    """Percent of a model's traffic by revision (adds up to 100), and the revision that gets copies without answering."""

    weights: Mapping[str, int]
    mirror: str | None = None
    tap: Tap | None = None


@dataclass(frozen=True)
class Table:
    """All the gateway knows. A model without a split has no live revision yet: callers get 503, probes go through."""

    endpoints: Mapping[tuple[str, str], Endpoint] = field(default_factory=dict)
    splits: Mapping[str, Split] = field(default_factory=dict)
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    """Models that others answer for under their names, for as long as those have a split."""

    def stand_in(self, model: str) -> str | None:
        """Who answers under the model's name in its place; None: it answers itself."""
        other = self.fallbacks.get(model)
        return other if other in self.splits else None

    @property
    def models(self) -> list[str]:
        return sorted({model for model, _ in self.endpoints})

    def protocol(self, model: str) -> Protocol:
        """What all revisions of a known model speak."""
        return next(endpoint.protocol for (name, _), endpoint in self.endpoints.items() if name == model)

    def passes(self, model: str) -> list[str]:
        """Beginnings of paths that the servers of all of a known model's revisions are asked for as they are, the longest first."""
        common = set.intersection(*(set(endpoint.passes) for (name, _), endpoint in self.endpoints.items() if name == model))
        return sorted(common, key=lambda path: (-len(path), path))

    def revisions(self, model: str) -> list[str]:
        return sorted(revision for name, revision in self.endpoints if name == model)

    def add(self, endpoint: Endpoint) -> Table:
        """With this revision; one of the same name is replaced (a revision that came back on another port).

        Refused when the model's other revisions speak another protocol: a split over both would answer at random.
        """
        others = [other for key, other in self.endpoints.items() if key[0] == endpoint.model and key[1] != endpoint.revision]
        if any(other.protocol != endpoint.protocol for other in others):
            raise InputError(
                f"revision {endpoint.revision} speaks {endpoint.protocol}, the others of {endpoint.model} do not.",
                where="gateway",
                remedy=f"Retire {endpoint.model} first, or choose another name.",
            )
        return replace(self, endpoints={**self.endpoints, (endpoint.model, endpoint.revision): endpoint})

    def remove(self, model: str, revision: str) -> Table:
        """Without this revision; absent is fine. One that still has traffic is refused."""
        split = self.splits.get(model)
        if split is not None and (split.weights.get(revision, 0) or split.mirror == revision):
            raise InputError(
                f"revision {revision} of {model} still has traffic.", where="gateway", remedy="Give its share to another revision first."
            )
        return replace(self, endpoints={key: value for key, value in self.endpoints.items() if key != (model, revision)})

    def retire(self, model: str) -> Table:
        """Without any revision or traffic of this model."""
        return Table(
            endpoints={key: value for key, value in self.endpoints.items() if key[0] != model},
            splits={name: split for name, split in self.splits.items() if name != model},
            fallbacks={name: other for name, other in self.fallbacks.items() if model not in (name, other)},
        )

    def fall_back(self, model: str, other: str | None) -> Table:
        """With ``other`` answering under the model's name (None: nobody but itself). Refused when it has no live revision, or speaks
        another protocol than the model."""
        check_model(model)
        rest = {name: by for name, by in self.fallbacks.items() if name != model}
        if other is None:
            return replace(self, fallbacks=rest)
        where = f"gateway: fallback of {model}"
        if other not in self.splits or other == model:
            raise InputError(f"{other} has no live revision.", where=where, remedy="Name another model that serves.")
        if model in self.models and self.protocol(model) != self.protocol(other):
            remedy = "Name a model of the same kind in serve.fallback."
            raise InputError(f"{other} speaks {self.protocol(other)}, and {model} does not.", where=where, remedy=remedy)
        return replace(self, fallbacks=rest | {model: other})

    def split(self, model: str, weights: Mapping[str, int], mirror: str | None = None, tap: Tap | None = None) -> Table:
        """With this split of the model's traffic; refused when it does not add up or names an unknown revision."""
        check_model(model)
        where = f"gateway: split of {model}"
        for revision in (*weights, *((mirror,) if mirror else ())):
            if (model, revision) not in self.endpoints:
                known = ", ".join(self.revisions(model)) or "none"
                raise InputError(f"there is no revision {revision!r}.", where=where, remedy=f"Known: {known}.")
        if any(isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100 for percent in weights.values()):
            raise InputError(f"{dict(weights)} holds something else than whole percents.", where=where, remedy="Use 0 to 100.")
        if sum(weights.values()) != 100:
            raise InputError(f"{dict(weights)} adds up to {sum(weights.values())} %.", where=where, remedy="Make it 100 %.")
        if mirror is not None and weights.get(mirror, 0):
            raise InputError(f"revision {mirror} cannot both answer and be mirrored to.", where=where, remedy="Choose one.")
        live = {revision: percent for revision, percent in sorted(weights.items()) if percent}
        return replace(self, splits={**self.splits, model: Split(live, mirror, tap)})


def read_table(clusters: list[Json], routes: list[Json]) -> Table:
    """The table that these Envoy resources stand for: the inverse of rendering it."""
    endpoints = {}
    for cluster in clusters:
        facts = cluster.get("metadata", {}).get("filter_metadata", {}).get("updraft", {})
        if "endpoint" in facts:
            endpoint = Endpoint.from_json(facts["endpoint"])
            endpoints[endpoint.model, endpoint.revision] = endpoint
    mirrors: dict[str, str] = {}
    taps: dict[str, Tap] = {}
    weights: dict[str, dict[str, int]] = {}
    fallbacks: dict[str, str] = {}
    for configuration in routes:
        for route in configuration["virtual_hosts"][0]["routes"]:
            facts = route.get("metadata", {}).get("filter_metadata", {}).get("updraft", {})
            if facts.get("kind") == "live":
                parts = route["route"]["weighted_clusters"]["clusters"]
                weights[facts["model"]] = {parse_cluster(part["name"])[1]: part["weight"] for part in parts}
                if "tap" in facts:
                    taps[facts["model"]] = Tap(facts["tap"]["socket"], int(facts["tap"]["percent"]))
            elif facts.get("kind") == "fallback":
                fallbacks[facts["model"]] = facts["fallback"]
            elif facts.get("kind") == "mirror":
                mirrors[facts["model"]] = parse_cluster(route["route"]["cluster"])[1]
    return Table(endpoints, {model: Split(live, mirrors.get(model), taps.get(model)) for model, live in weights.items()}, fallbacks)
