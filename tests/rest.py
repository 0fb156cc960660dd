"""Writes docs/rest.md, the reference of the plugins' APIs, out of their OpenAPI descriptions: ``python -m tests.rest``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.runtime.settings import REPO

FILE = REPO / "docs" / "rest.md"
HEAD = """# REST

Written by `make rest` out of what the APIs say of themselves (`/lifecycle/openapi.json`, `/serving/openapi.json`,
`/gpu-pool/openapi.json`): change the code, not this page. Every call bears a token of Airflow's (`POST /auth/token`) as
`Authorization: Bearer ...`, an agent's one of its own. Who may do what: [security.md](security.md). Bodies and answers are JSON; a refusal
is a `Problem`, whose `detail` is a sentence.
"""
BOUNDS = {
    "minimum": "≥ {:.16g}",
    "exclusiveMinimum": "> {:.16g}",
    "maximum": "≤ {:.16g}",
    "minLength": "{} characters or more",
    "maxLength": "at most {} characters",
    "minItems": "{} items or more",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
Json = Mapping[str, Any]


def page(documents: Mapping[str, Json]) -> str:
    """Return the whole page; ``documents`` is each API's OpenAPI description by its prefix (``/lifecycle``)."""
    return "\n".join([HEAD, *(line for prefix, document in documents.items() for line in _api(prefix, document))])


def _api(prefix: str, document: Json) -> Iterator[str]:
    yield from (f"## {document['info']['title']}", "", f"`{prefix}`: {document['info']['description']}", "")
    for tag in document["tags"]:
        yield from (f"### {tag['name'].capitalize()}", "", tag["description"], "")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(f"{method.upper()} {prefix}{path}", operation)
    yield from (f"### Bodies of {prefix}", "")
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _body(name, schema)


def _operation(title: str, operation: Json) -> Iterator[str]:
    yield from (f"#### `{title}`", "", " ".join(operation["description"].split()), "")
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        needed = "needed" if parameter["required"] else f"default `{_value(schema.get('default'))}`"
        yield f"- `{parameter['name']}` ({parameter['in']}, {needed}): {_type(schema)}"
    if body := operation.get("requestBody"):
        yield f"- body: {_content(body)}"
    for code, answer in sorted(operation["responses"].items()):
        if code < "300":
            yield f"- {code}: {_content(answer) or 'nothing'}"
    refused = [(code, answer["description"].rstrip(".")) for code, answer in sorted(operation["responses"].items()) if code >= "400"]
    yield from (("- refusals: " + "; ".join(f"{code} {why[0].lower()}{why[1:]}" for code, why in refused),) if refused else ())
    yield ""


def _content(part: Json) -> str:
    """Return what a body or an answer is, of the first of its media types."""
    kind, content = next(iter(part.get("content", {}).items()), ("", {}))
    named = _type(content["schema"]) if content.get("schema") else ""
    return named if kind in ("", "application/json") else f"`{kind}`"


def _body(name: str, schema: Json) -> Iterator[str]:
    yield from (f"#### {name}", "", *([" ".join(schema["description"].split()), ""] if schema.get("description") else ()))
    needed = set(schema.get("required", ()))
    if fields := schema.get("properties"):
        yield from ("| field | what it holds | |", "| --- | --- | --- |")
    for field, part in (fields or {}).items():
        default = "needed" if field in needed else f"default `{_value(part.get('default'))}`"
        cells = (f"`{field}`", " ".join(part.get("description", "").split()), _type(part))
        yield f"| {cells[0]} | {_cell('. '.join(cell.rstrip('.') for cell in cells[1:] if cell))} | {_cell(default)} |"
    yield from ([] if fields else [_type(schema)])
    yield ""


def _type(schema: Json) -> str:
    """Return what a schema allows, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[key])))
    if "const" in schema:
        return f"`{_value(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_value(value)}`" for value in schema["enum"])
    return ", ".join([_kind(schema), *_bounds(schema)])


def _kind(schema: Json) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        places = schema.get("prefixItems")
        return f"list of ({', '.join(map(_type, places))})" if places else f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        return f"object of {_type(values[0])}" if isinstance(values[0], dict) else "object"
    return {"string": schema.get("format", "text"), "boolean": "true or false", "integer": "whole number"}.get(kind, kind)


def _bounds(schema: Json) -> Sequence[str]:
    found = [word.format(schema[key]) for key, word in BOUNDS.items() if key in schema]
    return [*found, f"like `{schema['pattern']}`"] if "pattern" in schema else found


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def documents() -> dict[str, Json]:
    """Return the descriptions of the plugins' APIs, by their prefixes."""
    from gpu_pool.api.app import create_app as pool
    from lifecycle.api.app import create_app as lifecycle
    from lifecycle.api.serving.app import create_app as serving

    return {"/lifecycle": lifecycle().openapi(), "/serving": serving().openapi(), "/gpu-pool": pool().openapi()}


if __name__ == "__main__":
    FILE.write_text(page(documents()))
