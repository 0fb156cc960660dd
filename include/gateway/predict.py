"""Rows as people send them: ``POST /v1/models/<name>:predict``, turned at the gateway into KServe's tensors, and answers into rows. Pure.

Behind the filter a request is like any other for the model: split, copies, prediction log, limits and the server see KServe's form alone.
What the filter has to know of a model (columns, types, classes) is in its routes, out of the endpoints' ``about``: it changes with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from include.bundles.about import truths
from include.gateway.script import script
from include.gateway.table import Split, Table

Json = dict[str, Any]
NAME = "updraft.predict"
"""The filter in Envoy, and the namespace of its routes' metadata."""
PATH = "/v1/models/{}:predict"
PATHS = r"/v1/models/[^/?]+:predict(\?.*)?"
"""All of them, as a regular expression."""
SAID_HEADER = "x-updraft-said"
"""Marks a request to which the filter has said no, in its own words of JSON. No caller may send it."""
UNKNOWN = "model {} takes more than a value a column, or does not tell its columns: send tensors to /v2/models/{}/infer."
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def request_filter() -> Json:
    """The filter, on those routes only."""
    text = "\n".join((script("json"), script("csv"), script("predict", SAID=SAID_HEADER)))
    # The path that it writes is the server's; the route stays, with what it says of the model.
    config = {"@type": f"{_FILTERS}.http.lua.v3.Lua", "default_source_code": {"inline_string": text}, "clear_route_cache": False}
    return {"name": NAME, "disabled": True, "typed_config": config}


def match(model: str) -> Json:
    """What a request for predictions looks like, as a route's match."""
    return {"path": PATH.format(model), "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}


def settings() -> Json:
    """Settings (``typed_per_filter_config``) of a route with a :func:`plan`."""
    return {NAME: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}}


def plan(table: Table, model: str, split: Split) -> Json | None:
    """Metadata of the model's route: the columns of the revision that most callers reach, and each revision's classes. None where that
    revision tells no columns."""
    texts = {revision: table.endpoints[model, revision].about for revision in split.weights}
    tensor, columns = _columns(texts[max(sorted(split.weights), key=lambda name: split.weights[name])])
    if not columns:
        return None
    classes = {revision: [json.dumps(str(label)) for label in _classes(own)] for revision, own in texts.items()}
    return {NAME: {"plan": {"model": model, "columns": columns, "classes": classes, **({"tensor": tensor} if tensor else {})}}}


def _classes(text: str) -> Iterable[Any]:
    found: Iterable[Any] = json.loads(text or "{}").get("parameters", {}).get("classes", ())
    return found


def _columns(text: str) -> tuple[str, list[Json]]:
    """The one tensor of all columns, or empty, and the columns."""
    about = json.loads(text or "{}")
    inputs, limits = about.get("inputs", ()), about.get("parameters", {}).get("limits", {})
    whole = next((tensor for tensor in inputs if "columns" in tensor), None)
    named = [(name, whole) for name in whole["columns"]] if whole else [(tensor["name"], tensor) for tensor in inputs]
    if any(tensor["shape"][1:] != [1] for _, tensor in named if not whole):
        return "", []  # a value a row is all that a row can say

    known = truths(text)

    def missing(name: str, kind: str) -> bool:
        return kind in ("FP32", "FP64", "BYTES") and bool(limits.get(name, {}).get("missing", True))

    return whole["name"] if whole else "", [
        {
            "name": name,
            "json": json.dumps(name, ensure_ascii=False),
            "kind": tensor["datatype"],
            "optional": bool(tensor.get("optional")) and not whole,
            "missing": missing(name, tensor["datatype"]),
            "truth": known is None or name in known[0],
        }
        for name, tensor in named
    ]
