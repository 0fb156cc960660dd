"""The routing table as Envoy routes: the only paths there are, and who answers them. Pure."""

from __future__ import annotations

from typing import Any

from include.bundles.about import truths
from include.gateway import budgets, grpc, openai, predict
from include.gateway import rate_limits as limits
from include.gateway.clusters import MIRROR_CLUSTER, standins, tap_name
from include.gateway.endpoint import cluster_name
from include.gateway.exchanges import MIRROR_HEADER
from include.gateway.listener import FILTER, MODEL_PATH
from include.gateway.table import Split, Table

Json = dict[str, Any]

RETRIES = 5
RETRY_ON = "connect-failure,refused-stream,reset-before-request"
"""Only what never reached a model is tried again: inference need not be free of side effects."""

BATCH_HEADER = "x-updraft-batch"
FALLBACK_HEADER = "x-updraft-fallback"
"""Of an answer that another model has given: its name."""
PINNED = {"probe": "x-updraft-probe", "batch": BATCH_HEADER}
"""What asks one revision whatever the split, by its kind in the log: the header that holds the secret. No trial counts it."""
OWN_HEADERS = ("x-updraft-probe", BATCH_HEADER, "x-updraft-revision", MIRROR_HEADER, openai.NEEDS_HEADER, grpc.INNER_HEADER)
"""What no server is told."""

RESET, AWAY = "reset,retriable-status-codes", [503]
"""Besides, where a revision has several servers: the one that had the request has ended under it, or says that it takes none now (as one
that loads its model does). Who runs a model in several servers says by that that either may answer."""
OTHER_SERVERS_TRIED = 5

MAX_SAID_BYTES = 1024 * 1024
"""The list of models is no longer than this."""


def routes(table: Table, probe_secret: str) -> list[Json]:
    """The one route table of both listeners, so that a split and its mirror change in one step."""
    mirrored = [route for model, split in sorted(table.splits.items()) if split.mirror for route in _mirrored(table, model, split.mirror)]
    known = sorted({*table.models, *table.fallbacks})
    live = [route for model in known for route in _model(table, model, probe_secret)]
    ordered = [*grpc.routes(limits.on_rows()), *_health(), _encoded(), *mirrored, *live, *_openai(table), *_unknown()]
    return [
        {
            "name": "gateway",
            "max_direct_response_body_size_bytes": MAX_SAID_BYTES,
            "request_headers_to_remove": list(OWN_HEADERS),
            "virtual_hosts": [{"name": "models", "domains": ["*"], "routes": ordered}],
        }
    ]


def _health() -> list[Json]:
    """Whether the door is open; the only paths without a key."""
    return [
        {
            "match": {"path": f"/v2/health/{path}"},
            "direct_response": {"status": 200, "body": {"inline_string": f'{{"{path}": true}}'}},
            "metadata": _facts(kind="health"),
        }
        for path in ("live", "ready")
    ]


def _encoded() -> Json:
    """A compressed body, whose true length is known only once it is unpacked: a megabyte may become gigabytes of a server's memory."""
    name = "content-encoding"
    plain = {"name": name, "string_match": {"exact": "identity"}, "invert_match": True}
    match = {"prefix": "/", "headers": [{"name": name, "present_match": True}, plain]}
    return {"match": match, "direct_response": {"status": 415}, "metadata": _facts(kind="unknown")}


def _openai(table: Table) -> list[Json]:
    """What OpenAI's clients ask besides inference, and where an inference request is until the model in its body is known."""
    said = {name: table.stand_in(name) or name for name in {*table.splits, *table.fallbacks}}
    live = sorted(name for name, by in said.items() if by in table.splits and table.protocol(by) == "openai")
    lists = {"/v1/models": openai.models(live), **{f"/v1/models/{model}": openai.model(model) for model in live}}
    told = [
        {
            "match": {"path": path, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
            "direct_response": {"status": 200, "body": {"inline_string": text}},
            "metadata": _facts(kind="models"),
        }
        for path, text in lists.items()
    ]
    named = {"match": _inference({"present_match": True}), "direct_response": {"status": 404}, "metadata": _facts(kind="unknown")}
    nameless = {
        "match": _inference(),
        "direct_response": {"status": 400, "body": {"inline_string": openai.NO_MODEL}},
        "metadata": _facts(kind="unknown"),
        "typed_per_filter_config": {**openai.reads_body(), **limits.on(), **budgets.on()},
    }
    return [*told, named, nameless]


def _inference(model: Json | None = None) -> Json:
    paths: Json = {"safe_regex": {"regex": "|".join(openai.INFERENCE_PATHS)}}
    return {**paths, "headers": [{"name": openai.MODEL_HEADER, **model}]} if model else paths


def _unknown() -> list[Json]:
    """Everything else, told apart in the log only; the sentences are the listener's."""
    nothing = {"direct_response": {"status": 404}}
    return [
        {
            "match": {"safe_regex": {"regex": MODEL_PATH.removeprefix("^").removesuffix(r"(\?.*)?$")}},
            **nothing,
            "metadata": _facts(kind="unknown"),
        },
        {"match": {"prefix": "/"}, **nothing, "metadata": _facts(kind="unknown")},
    ]


def _model(table: Table, model: str, probe_secret: str) -> list[Json]:
    probes = [
        route for revision in table.revisions(model) for kind in PINNED for route in _pinned(table, model, revision, kind, probe_secret)
    ]
    other = table.stand_in(model)
    return [*([*probes, *_stands_in(table, model, other)] if other else []), *_own(table, model, probes)]


def _own(table: Table, model: str, probes: list[Json]) -> list[Json]:
    """What the model answers itself."""
    split = table.splits.get(model)
    if split is None and model not in table.models:
        return []
    if split is None:
        sentence = f"model {model} has no live revision yet."
        absent = {"direct_response": {"status": 503, "body": {"inline_string": sentence}}, "metadata": _facts(kind="absent", model=model)}
        rows = [predict.match(model)] if table.protocol(model) == "kserve" else []
        return [*probes, *({"match": match, **absent} for match in (*rows, *(match for match, _ in _asked(table, model))))]
    return [*_unoffered(table, model, tuple(split.weights)), *probes, *_about(table, model, split), *_live(table, model, split)]


def _unoffered(table: Table, model: str, revisions: tuple[str, ...]) -> list[Json]:
    """What one of these revisions can't do is asked of none of them."""
    known = [offers for revision in revisions if (offers := table.endpoints[model, revision].offers) is not None]
    return [
        {
            "match": match,
            "direct_response": {"status": 400, "body": {"inline_string": sentence.format(model)}},
            "metadata": _facts(kind="refused", model=model),
        }
        for need, sentence in openai.UNOFFERED.items()
        if table.protocol(model) == "openai" and any(need not in offers for offers in known)
        for match, _ in _asked(table, model, {"name": openai.NEEDS_HEADER, "string_match": {"contains": f",{need},"}})
    ]


def _about(table: Table, model: str, split: Split) -> list[Json]:
    """What callers have to send, told by the gateway: of the revision that most of them reach."""
    revision = max(sorted(split.weights), key=lambda name: split.weights[name])
    text = table.endpoints[model, revision].about
    if not text:
        return []
    match = {"path": f"/v2/models/{model}", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}
    return [{"match": match, "direct_response": {"status": 200, "body": {"inline_string": text}}, "metadata": _facts(kind="models")}]


def _live(table: Table, model: str, split: Split) -> list[Json]:
    action = _shared_out(table, model, split)
    copies: list[Json] = [{"cluster": MIRROR_CLUSTER}] if split.mirror else []
    facts: Json = {"kind": "live", "model": model}
    if split.tap:
        share = {"default_value": {"numerator": split.tap.percent, "denominator": "HUNDRED"}}
        copies.append({"cluster": tap_name(model), "runtime_fraction": share})
        facts["tap"] = vars(split.tap)
    if copies:
        action["request_mirror_policies"] = copies
    said = {"response_headers_to_add": [_tell_revision()], "metadata": _told(table, model, tuple(split.weights), **facts)}
    counted = {"typed_per_filter_config": limits.on_rows()} if table.protocol(model) == "kserve" else {}
    live = [{"match": match, "route": action | rewrite, **said, **counted} for match, rewrite in _asked(table, model)]
    return [*live, *([_rows(table, model, split, action, said)] if table.protocol(model) == "kserve" else [])]


def _shared_out(table: Table, model: str, split: Split) -> Json:
    """Requests to the model's revisions, each its part of them."""
    behind = dict(standins(split))
    parts = [
        {"name": cluster_name(model, revision, behind.get(revision, ())), "weight": percent}
        for revision, percent in sorted(split.weights.items())
    ]
    action: Json = {
        "weighted_clusters": {"clusters": parts},
        **_times(table, model, tuple(split.weights)),
        "retry_policy": _retries(max(len(table.endpoints[model, revision].servers) for revision in split.weights), backed=bool(behind)),
    }
    if table.protocol(model) == "openai":
        # The heaviest cluster comes first or last, so that a session that is with the canary stays there while its share grows.
        action["weighted_clusters"]["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": openai.SESSION_HEADER}}]
    return action


def _stands_in(table: Table, model: str, other: str) -> list[Json]:
    """Requests for the model, answered by another under its name: asked as that one is, told by a header, logged as no revision of the
    model's own, so that neither a trial nor the watch counts it."""
    split = table.splits[other]
    action, protocol = _shared_out(table, other, split), table.protocol(other)
    header = {"header": {"key": FALLBACK_HEADER, "value": other}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    facts = _told(table, other, tuple(split.weights), kind="fallback", model=model, fallback=other)
    lua = {**facts["filter_metadata"].get(FILTER, {}), "from": model, "to": other}
    said = {
        "response_headers_to_add": [_tell_revision(), header],
        "metadata": {"filter_metadata": {**facts["filter_metadata"], FILTER: lua}},
    }
    found = [
        {"match": {"prefix": f"/models/{model}{path}"}, "route": action | {"prefix_rewrite": path}, **said} for path in table.passes(other)
    ]
    if protocol == "openai":
        found.append({"match": _inference({"string_match": {"exact": model}}), "route": action, **said})
    elif protocol == "kserve":
        renamed = {"regex_rewrite": {"pattern": {"regex": f"^/v2/models/{model}"}, "substitution": f"/v2/models/{other}"}}
        match = {"safe_regex": {"regex": f"/v2/models/{model}(/ready|/infer)?"}}
        found.append({"match": match, "route": action | renamed, **said, "typed_per_filter_config": limits.on_rows()})
        found.append({**_rows(table, other, split, action, said), "match": predict.match(model)})
    return found


def _rows(table: Table, model: str, split: Split, action: Json, said: Json, *, counted: bool = True) -> Json:
    """The way of rows in plain JSON: as the model's own, behind a filter that knows its columns."""
    if (plan := predict.plan(table, model, split)) is None:
        refused = {"status": 400, "body": {"inline_string": predict.UNKNOWN.format(model, model)}}
        return {"match": predict.match(model), "direct_response": refused, "metadata": _facts(kind="refused", model=model)}
    metadata = {"filter_metadata": said["metadata"]["filter_metadata"] | plan}
    settings = {"typed_per_filter_config": predict.settings() | (limits.on_rows() if counted else {})}
    return {"match": predict.match(model), "route": action, **said, "metadata": metadata, **settings}


def _pinned(table: Table, model: str, revision: str, kind: str, secret: str) -> list[Json]:
    """The way to one revision for those who hold the secret, through the same listener and filters as everybody."""
    headers = [
        {"name": "x-updraft-revision", "string_match": {"exact": revision}},
        {"name": PINNED[kind], "string_match": {"exact": secret}},
    ]
    action = {"cluster": cluster_name(model, revision), **_times(table, model, (revision,))}
    said = {"response_headers_to_add": [_tell_revision()], "metadata": _told(table, model, (revision,), kind=kind, model=model)}
    found = [{"match": match, "route": action | rewrite, **said} for match, rewrite in _asked(table, model, *headers)]
    if PINNED[kind] != BATCH_HEADER or table.protocol(model) != "kserve":
        return found
    rows = _rows(table, model, Split({revision: 100}), action, said, counted=False)
    return [*found, {**rows, "match": {**rows["match"], "headers": [*rows["match"]["headers"], *headers]}}]


def _mirrored(table: Table, model: str, revision: str) -> list[Json]:
    action = {"cluster": cluster_name(model, revision), **_times(table, model, (revision,))}
    said = {"metadata": _facts(kind="mirror", model=model), **(openai.reads_answer() if table.protocol(model) == "openai" else {})}
    copies = {"name": MIRROR_HEADER, "present_match": True}
    return [{"match": match, "route": action | rewrite, **said} for match, rewrite in _asked(table, model, copies)]


def _asked(table: Table, model: str, *headers: Json) -> list[tuple[Json, Json]]:
    """What a request for this model looks like, and how its path is told to the server: the model is named in the path, in the body
    (OpenAI), or before one of the server's own paths."""
    found: list[tuple[Json, Json]] = []
    protocol = table.protocol(model)
    if protocol == "openai":
        match = _inference({"string_match": {"exact": model}})
        found.append(({**match, "headers": [*match["headers"], *headers]}, {}))
    elif protocol == "kserve":
        found.append(({"safe_regex": {"regex": f"/v2/models/{model}(/ready|/infer)?"}, "headers": list(headers)}, {}))
    passed = [({"prefix": f"/models/{model}{path}", "headers": list(headers)}, {"prefix_rewrite": path}) for path in table.passes(model)]
    return [*found, *passed]


def _times(table: Table, model: str, revisions: tuple[str, ...]) -> Json:
    """A whole answer's limit. Until a long answer that isn't streamed is ready, not a byte moves."""
    limit = f"{max(table.endpoints[model, revision].timeout_s for revision in revisions)}s"
    return {"timeout": limit, "idle_timeout": limit} if table.protocol(model) == "openai" else {"timeout": limit}


def _retries(servers: int, *, backed: bool) -> Json:
    """With another server of the revision the retry goes there, then to a stand-in; a server alone is tried for a few seconds, as long as
    supervisord takes to start it again."""
    several = servers > 1
    policy: Json = {
        "retry_on": f"{RETRY_ON},{RESET}" if several else RETRY_ON,
        "num_retries": RETRIES,
        "retry_back_off": {"base_interval": "0.05s" if backed or several else "0.4s", "max_interval": "2s"},
    }
    if several:
        policy["retriable_status_codes"] = AWAY
        other = "envoy.retry_host_predicates.previous_hosts"
        kind = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        policy["retry_host_predicate"] = [{"name": other, "typed_config": {"@type": kind}}]
        policy["host_selection_retry_max_attempts"] = OTHER_SERVERS_TRIED
    if backed:
        kind = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
        policy["retry_priority"] = {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": kind, "update_frequency": servers},
        }
    return policy


def _tell_revision() -> Json:
    value = "%METADATA(UPSTREAM_HOST:updraft:revision)%"
    return {"header": {"key": "x-updraft-revision", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _told(table: Table, name: str, revisions: tuple[str, ...], **facts: Any) -> Json:
    """The facts, with what the Lua filter reads (by its own name) of the columns that any of these revisions takes truth values in."""
    known = [truths(table.endpoints[name, revision].about) for revision in revisions]
    found = _facts(**facts)
    if known and None not in known:
        told = [one for one in known if one is not None]
        columns = sorted({column for one, _ in told for column in one})
        found["filter_metadata"][FILTER] = {"truths": columns, "columns": told[0][1]}
    return found


def _facts(**facts: Any) -> Json:
    return {"filter_metadata": {"updraft": facts}}
