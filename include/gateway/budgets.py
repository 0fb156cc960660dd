"""What a key, a team or a model may use in a month, kept in ``budgets.json``; and Envoy's filter that reserves a request's tokens first.

Who keeps the count is ``include.budgets``: a server on a Unix socket, which the filter asks before a request goes on. Envoy has no count of
its own that could be given back: its buckets are of one thread or never settled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include import atomic
from include.errors import InputError
from include.gateway import at_socket, openai
from include.gateway.credentials import PROBE_CLIENT
from include.gateway.endpoint import check_model
from include.gateway.keys import NAME as KEY_NAME
from include.gateway.keys import Key
from include.gateway.predict import SAID_HEADER
from include.gateway.rate_limits import CLIENT_HEADER
from include.gateway.script import script
from include.pool.ask import NAME as TEAM_NAME

Json = dict[str, Any]
KEY, TEAM, MODEL = "key", "team", "model"
SCOPES = (KEY, TEAM, MODEL)
MOST_TOKENS, MOST_GPU_HOURS = 10**15, 10**9
WHERE = "budgets"

KIND = "budgets"
NAME = "updraft.budgets"
"""The filter in Envoy."""
CLUSTER = "updraft_budgets"
ASK_PATH = "/reserve"
ASK_TIMEOUT_S = 20.0
"""So long a request waits for the word of who keeps the count; without it it is refused (503)."""
AT_ONCE = 100_000
CONNECTIONS = 32
TEMPLATE_TOKENS = 512
"""What a chat template adds to a prompt at most: turns' marks, a system prompt of its own, how tools are described. With a token for each
byte of the body that is more than any prompt comes to."""
HOLD = "hold"
"""The fact by which a finished request is known to have reserved something: the reservation's id."""
_LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


@dataclass(frozen=True)
class Budget:
    """What one key, team or model may use in a calendar month (UTC): ``tokens`` of language models, ``gpu_hours`` of the pool; None: as
    much as it likes. From ``warn`` (a share) on people are told."""

    scope: str
    name: str
    tokens: int | None = None
    gpu_hours: float | None = None
    warn: float = 0.8

    def __post_init__(self) -> None:
        where = f"{WHERE}: {self.scope} {self.name}"[:200]
        if self.scope not in SCOPES:
            raise InputError(f"{self.scope!r:.40} can't have a budget.", where=WHERE, remedy=f"Use one of: {', '.join(SCOPES)}.")
        if self.scope == MODEL:
            check_model(self.name)
        elif not (KEY_NAME if self.scope == KEY else TEAM_NAME).match(self.name):
            raise InputError(f"{self.name!r:.80} is no name of a {self.scope}.", where=WHERE, remedy="See `key list` and the spec's team.")
        if self.tokens is not None and (isinstance(self.tokens, bool) or not isinstance(self.tokens, int)):
            raise InputError(f"{self.tokens!r:.40} is no number of tokens.", where=f"{where}.tokens", remedy="Use a whole number.")
        if self.tokens is not None and not 0 <= self.tokens <= MOST_TOKENS:
            raise InputError(f"{self.tokens} tokens are no budget.", where=f"{where}.tokens", remedy=f"Use 0 to {MOST_TOKENS}.")
        if self.gpu_hours is not None and not 0 <= self.gpu_hours <= MOST_GPU_HOURS:
            raise InputError(f"{self.gpu_hours} GPU-hours are no budget.", where=f"{where}.gpu_hours", remedy=f"Use 0 to {MOST_GPU_HOURS}.")
        if self.gpu_hours is not None and self.scope == KEY:
            raise InputError("a key holds no GPUs.", where=f"{where}.gpu_hours", remedy="Give its team or the model a budget of GPU-hours.")
        if not 0 < self.warn <= 1:
            raise InputError(f"{self.warn} is no share.", where=f"{where}.warn", remedy="Use more than 0 and at most 1.")

    @property
    def of(self) -> tuple[str, str]:
        return self.scope, self.name

    def __bool__(self) -> bool:
        return self.tokens is not None or self.gpu_hours is not None

    def said(self) -> str:
        """Say what it comes to: ``key demo: 1,000,000 tokens a month``."""
        parts = [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        parts += [f"{self.gpu_hours:g} GPU-hours"] if self.gpu_hours is not None else []
        return f"{self.scope} {self.name}: {' and '.join(parts) or 'no budget'}{' a month' if parts else ''}"


Budgets = Mapping[tuple[str, str], Budget]


def read(path: Path) -> dict[tuple[str, str], Budget]:
    """Return the budgets in the file, none where there is no such file. Raises InputError naming it."""
    try:
        found = [Budget(**row) for row in json.loads(path.read_text())]
        return {budget.of: budget for budget in found}
    except FileNotFoundError:
        return {}
    except InputError as error:
        raise InputError(error.what, where=f"{path}, {error.where}", remedy=error.remedy) from None
    except (ValueError, TypeError, AttributeError) as error:
        remedy = 'Write [{"scope": "key", "name": "demo", "tokens": 1000000}], or set the budgets anew.'
        raise InputError(f"holds no budgets ({error!s:.200}).", where=str(path), remedy=remedy) from None


def write(path: Path, budgets: Iterable[Budget]) -> None:
    """Keep these budgets; those that allow anything are left out."""
    atomic.write(path, json.dumps([asdict(budget) for budget in sorted(budgets, key=lambda one: one.of) if budget], indent=1))


def counted(budgets: Budgets, keys: Mapping[str, Key]) -> tuple[set[str], set[str]]:
    """Return the keys and the models whose requests reserve their tokens first: by a budget of their own, or their team's."""
    of = {scope: {name for (kind, name), budget in budgets.items() if kind == scope and budget.tokens is not None} for scope in SCOPES}
    return of[KEY] | {name for name, key in keys.items() if key.team in of[TEAM]}, of[MODEL]


def request_filter(source: Callable[[str], Json]) -> Json:
    """Envoy's filter, off but on routes with :func:`on`; for whom it asks comes from ``source``. Until that was read: for nobody."""
    return {
        "name": NAME,
        "disabled": True,
        "config_discovery": {"config_source": source(KIND), "type_urls": [_LUA_TYPE], "default_config": _config((), ())},
    }


def resource(budgets: Budgets, keys: Mapping[str, Key]) -> Json:
    """Envoy's extension configuration: whose requests reserve their tokens."""
    return {"name": NAME, "typed_config": _config(*counted(budgets, keys))}


def on() -> Json:
    """Settings of the route that a request has until its body is read (``typed_per_filter_config``)."""
    return {NAME: openai.ON}


def cluster(socket: Path) -> Json:
    """Who keeps the count: whoever listens on the socket."""
    limits = {"max_connections": CONNECTIONS, "max_pending_requests": AT_ONCE, "max_requests": AT_ONCE}
    return at_socket.cluster(CLUSTER, str(socket), limits)


def _config(keys: Iterable[str], models: Iterable[str]) -> Json:
    keys, models = sorted(keys), sorted(models)
    text = script(
        "budgets",
        KEYS=", ".join(f"[{json.dumps(name)}] = true" for name in keys),
        MODELS=", ".join(f"[{json.dumps(name)}] = true" for name in models),
        OWN=PROBE_CLIENT,
        CLIENT=CLIENT_HEADER,
        MODEL=openai.MODEL_HEADER,
        SAID=SAID_HEADER,
        FACTS=openai.FACTS,
        HOLD=HOLD,
        CLUSTER=CLUSTER,
        PATH=ASK_PATH,
        TIMEOUT=f"{ASK_TIMEOUT_S * 1000:.0f}",
        UNSAID=openai.UNSAID_TOKENS,
        TEMPLATE=TEMPLATE_TOKENS,
    )
    code = {"inline_string": text if keys or models else "-- Nobody has a budget of tokens."}
    # A longer body is no reason to choose a route anew.
    return {"@type": _LUA_TYPE, "default_source_code": code, "clear_route_cache": False}
