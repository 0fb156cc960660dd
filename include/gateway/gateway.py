"""The gateway: one door for inference traffic, an Envoy whose own configuration files are the only truth about the split."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from include import atomic
from include.errors import ComponentError
from include.gateway import budgets, exchanges, key_filter, keys
from include.gateway import rate_limits as limits
from include.gateway.admin import Admin
from include.gateway.budgets import Budget, Budgets
from include.gateway.clusters import clusters
from include.gateway.credentials import PROBE_CLIENT, Credentials
from include.gateway.endpoint import Endpoint, Replica, server_name
from include.gateway.exchanges import Drawn
from include.gateway.keys import Key
from include.gateway.listener import LOG_FLUSH_MS, bootstrap, discovery, listeners
from include.gateway.observe import AccessLog, Source
from include.gateway.rate_limits import Limit
from include.gateway.routes import routes
from include.gateway.table import Split, Table, Tap, read_table
from include.runtime.revision_key import revision_key
from include.runtime.settings import Settings

Json = dict[str, Any]

APPLY_S = 10.0
"""Envoy runs a new configuration within this, or the call fails (it takes milliseconds)."""


class Gateway:
    """Reads and changes what the gateway does.

    Every change is a read-modify-write under a lock, each file replaced in one atomic step, clusters before the routes that name them and
    routes before the clusters they no longer name. Killed between any two writes, the files serve, and the next change mends them.
    """

    def __init__(self, settings: Settings, credentials: Credentials | None = None) -> None:
        self._settings = settings
        self._credentials = credentials or Credentials.load(settings)
        self.admin = Admin(settings.gateway_admin)

    @property
    def access_log(self) -> Path:
        return self._settings.gateway_log

    @property
    def _xds(self) -> Path:
        return self._settings.envoy / "xds"

    def prepare(self) -> None:
        """Write Envoy's bootstrap and listeners; clusters and routes that are there already stay. Before Envoy starts, and idempotent."""
        with self._lock():
            self._settings.logs.mkdir(parents=True, exist_ok=True)
            self._write(self._settings.envoy / "bootstrap.yaml", bootstrap(self._settings, self._xds))
            table = self._read()
            self._write_kind("cds", self._clusters(table))
            self._write_kind("rds", routes(table, self._credentials.probe_secret))
            self._write_keys(self.keys())
            self._write_limits(self.limits())
            self._write_budgets(self.budgets(), self.keys())
            if not (self._xds / f"{exchanges.KIND}.json").exists():
                self._write_kind(exchanges.KIND, [exchanges.resource({})])
            self._write_kind("lds", listeners(self._settings, self._xds))

    def command(self, concurrency: int = 2) -> tuple[str, ...]:
        """The command that runs Envoy in the foreground, for supervisord."""
        return envoy(self._settings.envoy / "bootstrap.yaml", concurrency)

    def probe_headers(self, revision: str) -> dict[str, str]:
        """Headers with which the platform's own probes reach one revision, whatever the split."""
        return self._credentials.probe_headers(PROBE_CLIENT, revision)

    def batch_headers(self, revision: str) -> dict[str, str]:
        """Headers with which batch inference asks one revision, whatever the split."""
        return self._credentials.batch_headers(PROBE_CLIENT, revision)

    def table(self) -> Table:
        """All that the gateway knows."""
        return self._read()

    def put_table(self, table: Table) -> None:
        """Have the gateway know this and nothing else, from its next start on. Before Envoy starts: nobody's requests are thought of."""
        with self._lock():
            self._write_kind("cds", self._clusters(table))
            self._write_kind("rds", routes(table, self._credentials.probe_secret))

    def models(self) -> list[str]:
        return self._read().models

    def revisions(self, model: str) -> dict[str, Endpoint]:
        """Every revision of a model that the gateway knows, with or without traffic."""
        return {revision: endpoint for (name, revision), endpoint in self._read().endpoints.items() if name == model}

    def split(self, model: str) -> Split | None:
        """Who gets how much of the model's traffic, None when no revision is live."""
        return self._read().splits.get(model)

    def splits(self) -> dict[str, Split]:
        """Who gets how much of each model's traffic; models without a live revision are absent."""
        return dict(self._read().splits)

    def source(self, model: str, stable: str, canary: str) -> Source:
        """Where the judge's figures of a trial come from."""
        return AccessLog(self.access_log, model, stable, canary)

    def add_revision(self, endpoint: Endpoint, timeout_s: float = APPLY_S) -> None:
        """Make a revision known, without traffic: probes reach it. The same again is a no-op: what other servers it has stays."""
        with self._lock():
            table = self._read()
            known = table.endpoints.get((endpoint.model, endpoint.revision))
            if known is not None and (known.host, known.port) == (endpoint.host, endpoint.port):
                endpoint = replace(endpoint, replicas=known.replicas)
            self._apply(table.add(endpoint), timeout_s)

    def admit(self, model: str, revision: str, server: Replica, timeout_s: float = APPLY_S) -> bool:
        """Let one more server of a revision take its requests. False for a revision that isn't known. Again is a no-op."""

        def with_it(known: Endpoint) -> list[Replica]:
            return [*(one for one in known.servers if one.number != server.number), server]

        return self._change_servers(model, revision, with_it, timeout_s)

    def withdraw(self, model: str, revision: str, number: int, timeout_s: float = APPLY_S) -> bool:
        """Let a server of a revision take no more of its requests; those under way there go on. False for a revision that isn't known, and
        for the only one that takes any. Again is a no-op."""
        return self._change_servers(model, revision, lambda known: [one for one in known.servers if one.number != number], timeout_s)

    def _change_servers(self, model: str, revision: str, change: Callable[[Endpoint], list[Replica]], timeout_s: float) -> bool:
        with self._lock():
            table = self._read()
            known = table.endpoints.get((model, revision))
            wanted = tuple(sorted(change(known), key=lambda one: one.number)) if known is not None else ()
            if known is None or not wanted:
                return False
            # One that is alone is told as before there were several.
            alone = wanted == (Replica(1, known.host, known.port),)
            self._apply(table.add(replace(known, replicas=() if alone else wanted)), timeout_s)
            return True

    def remove_revision(self, model: str, revision: str, timeout_s: float = APPLY_S) -> None:
        """Forget a revision; one that still has traffic is refused, an unknown one is fine."""
        with self._lock():
            self._apply(self._read().remove(model, revision), timeout_s)

    def retire(self, model: str, timeout_s: float = APPLY_S) -> None:
        """Forget a model with all its revisions: callers get 404 from now on."""
        with self._lock():
            self._apply(self._read().retire(model), timeout_s)

    def set_split(
        self, model: str, weights: Mapping[str, int], mirror: str | None = None, tap: Tap | None = None, timeout_s: float = APPLY_S
    ) -> None:
        """Give each revision its percent of the model's traffic, ``mirror`` copies of all of it and ``tap`` of some. Again is a no-op.

        Returns when Envoy runs it. Refused with an InputError when it does not add up to 100 or names an unknown revision.
        """
        with self._lock():
            self._apply(self._read().split(model, weights, mirror, tap), timeout_s)

    def set_fallback(self, model: str, other: str | None, timeout_s: float = APPLY_S) -> None:
        """Let ``other`` answer under the model's name, or (None) the model itself. Again is a no-op. Returns when Envoy runs it.

        Refused with an InputError when the other has no live revision or speaks another protocol.
        """
        with self._lock():
            table = self._read().fall_back(model, other)
            self._write_keys(self.keys(), table)
            self._apply(table, timeout_s)

    def exchange_split(self, model: str, before: Split, after: Split, timeout_s: float = APPLY_S) -> bool:
        """Change a model's split from ``before`` to ``after``; False when somebody else has changed it meanwhile: nothing is done."""
        with self._lock():
            table = self._read()
            if table.splits.get(model) != before:
                return False
            self._apply(table.split(model, after.weights, after.mirror, after.tap), timeout_s)
            return True

    def draw(self, drawn: Mapping[str, Drawn], timeout_s: float = APPLY_S) -> None:
        """Tell the prediction log of these models' requests from now on, and of no others. Again is a no-op.

        Returns when Envoy runs it; requests under way go on.
        """
        with self._lock():
            self._write_kind(exchanges.KIND, [exchanges.resource(drawn)])
            self._settle(timeout_s)

    def limits(self) -> dict[str, Limit]:
        """What clients may ask in a minute, by name; those without a limit are absent."""
        return limits.read(self._settings.limits)

    def set_limit(self, client: str, limit: Limit, timeout_s: float = APPLY_S) -> None:
        """Limit a client's requests to OpenAI's paths (``*``: those of every client that has no limit of its own). Kept in a file.

        Returns when Envoy runs it; requests under way go on. Every client's minute begins anew.
        """
        with self._lock():
            wanted = {**self.limits(), client: limit}
            self._write_limits(wanted)
            limits.write(self._settings.limits, wanted)
            self._settle(timeout_s)

    def keys(self) -> dict[str, Key]:
        """Callers' keys by name, the platform's own aside."""
        return keys.read(self._settings.keys)

    def change_keys(self, change: Callable[[dict[str, Key]], Mapping[str, Key]], timeout_s: float = APPLY_S) -> None:
        """Keep the keys that ``change`` makes of those that there are; a name that goes takes its limit along.

        Returns when Envoy runs it; requests under way go on.
        """
        with self._lock():
            wanted = change(self.keys())
            # Before Envoy knows: should this be killed in between, what was revoked stays so, and the next change tells Envoy.
            keys.write(self._settings.keys, wanted)
            clients = {limits.EVERYBODY, *self._credentials.api_keys, *wanted}
            limited = {client: limit for client, limit in self.limits().items() if client in clients}
            limits.write(self._settings.limits, limited)
            self._write_keys(wanted)
            self._write_limits(limited)
            self._write_budgets(self.budgets(), wanted)
            self._settle(timeout_s)

    def budgets(self) -> dict[tuple[str, str], Budget]:
        """What keys, teams and models may use in a month, by scope and name."""
        return budgets.read(self._settings.budgets)

    def set_budget(self, budget: Budget, timeout_s: float = APPLY_S) -> None:
        """Set what one key, team or model may use in a month; one that allows anything is taken off. Kept in a file.

        Returns when Envoy runs it; requests under way go on.
        """
        with self._lock():
            wanted = {**self.budgets(), budget.of: budget}
            budgets.write(self._settings.budgets, wanted.values())
            self._write_budgets({of: one for of, one in wanted.items() if one}, self.keys())
            self._settle(timeout_s)

    @property
    def callers(self) -> tuple[str, ...]:
        """The platform's own, whose names no other key may have."""
        return tuple(self._credentials.api_keys)

    def wait_applied(self, timeout_s: float = APPLY_S) -> None:
        """Until Envoy runs exactly what is in the files."""
        wanted = {
            kind: self._load(kind)["version_info"]
            for kind in ("lds", "cds", "rds", *limits.KINDS, key_filter.KIND, exchanges.KIND, budgets.KIND)
        }
        names = {cluster["name"] for cluster in self._load("cds")["resources"]}
        self._wait_running(wanted, names, timeout_s)

    def _apply(self, table: Table, timeout_s: float) -> None:
        wanted = {cluster["name"]: cluster for cluster in self._clusters(table)}
        known = {cluster["name"]: cluster for cluster in self._resources("cds")}
        # First everything that old or new routes name, then the routes, then no more than the new ones need.
        self._write_kind("cds", [*({**known, **wanted}).values()])
        self._settle(timeout_s)
        self._write_kind("rds", routes(table, self._credentials.probe_secret))
        self._settle(timeout_s)
        self._write_kind("cds", list(wanted.values()))
        self._settle(timeout_s)

    def _clusters(self, table: Table) -> list[Json]:
        return clusters(
            table, lambda endpoint, number: revision_key(self._settings, server_name(endpoint.model, endpoint.revision, number))
        )

    def _settle(self, timeout_s: float) -> None:
        """Wait for a running Envoy; one that is down reads the files when it starts, in an order that needs no waiting."""
        if self.admin.running():
            self.wait_applied(timeout_s)

    def _wait_running(self, wanted: Mapping[str, str], names: set[str], timeout_s: float) -> None:
        def applied() -> bool:
            try:
                return self.admin.versions() == wanted and names <= self.admin.active_clusters()
            except ComponentError:
                return False

        if not self.admin.running():
            raise ComponentError(
                "Envoy does not run.", where=str(self._settings.gateway_admin), remedy="Start the platform with `make up`."
            )
        self.admin.wait(applied, timeout_s, "the gateway's new configuration was applied")

    def _read(self) -> Table:
        return read_table(self._resources("cds"), self._resources("rds"))

    def _resources(self, kind: str) -> list[Json]:
        return [{key: value for key, value in resource.items() if key != "@type"} for resource in self._load(kind)["resources"]]

    def _load(self, kind: str) -> Json:
        try:
            data: Json = json.loads((self._xds / f"{kind}.json").read_text())
        except FileNotFoundError:
            return discovery(kind, [])
        except ValueError as error:
            place = str(self._xds / f"{kind}.json")
            raise ComponentError(f"is no JSON ({error}).", where=place, remedy="Remove it and deploy the models again.") from error
        return data

    def _write_keys(self, wanted: Mapping[str, Key], table: Table | None = None) -> None:
        counted, models = budgets.counted(self.budgets(), wanted)
        models |= {name for name, other in (table or self._read()).fallbacks.items() if other in models}
        self._write_kind(key_filter.KIND, [key_filter.resource(self._credentials.api_keys, wanted, counted, models)])

    def _write_budgets(self, wanted: Budgets, keys: Mapping[str, Key]) -> None:
        self._write_kind(budgets.KIND, [budgets.resource(wanted, keys)])
        self._write_keys(keys)

    def _write_limits(self, wanted: Mapping[str, Limit]) -> None:
        resolved = limits.resolved(wanted, {**self._credentials.api_keys, **dict.fromkeys(self.keys(), "")})
        for kind in limits.KINDS:
            self._write_kind(kind, [limits.resource(kind, resolved)])

    def _write_kind(self, kind: str, resources: list[Json]) -> None:
        resources = sorted(resources, key=lambda resource: str(resource["name"]))
        response = discovery(kind, resources)
        if not (self._xds / f"{kind}.json").exists() or self._load(kind) != response:
            self._write(self._xds / f"{kind}.json", response)

    def _write(self, path: Path, data: Json) -> None:
        """Replace a file in one step that survives a crash. Envoy watches the folder for moves, so the text is written in another."""
        try:
            atomic.write(path, json.dumps(data, indent=1), work=self._settings.envoy / "tmp")
        except OSError as error:
            raise ComponentError(
                f"could not be written ({error}); it is as it was.", where=str(path), remedy="Is the disk full?"
            ) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._settings.envoy.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._settings.envoy / "lock"):
            yield


def envoy(configuration: Path, concurrency: int) -> tuple[str, ...]:
    """The command that runs an Envoy in the foreground, for supervisord."""
    import envoy

    return (
        str(Path(envoy.__file__).parent / "_bin" / "envoy"),
        "--config-path",
        str(configuration),
        "--concurrency",
        str(concurrency),
        "--file-flush-interval-msec",
        str(LOG_FLUSH_MS),
        "--log-level",
        "warning",
        # Two gateways on one machine must not share Envoy's hot-restart memory.
        "--disable-hot-restart",
    )
