"""Who may ask MLflow what, decided without a network: a request that a grant covers comes out as it is to be sent on, rebuilt from the
fields that are known; any other is refused.

Fields that are not listed are refused and not dropped: MLflow reads some under a second name (``runId`` for ``run_id``), and what was
checked must be what is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from include.door.token import Grant, try_tag
from include.errors import UpdraftError
from include.registry.mlflow import REGISTERED

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
OPEN = ("/health", "/version")
RESERVED = "updraft."
"""Tags that the platform reads: a run that could set them would say of itself what the gate has said, or that it is another run."""
OWN_TAGS = ("updraft.served_form",)
"""The ones that steps set."""
RUN_STATES = ("RUNNING", 1)
"""MLflow's client says so at a step's begin and end; how the run ends is the platform's to say."""
OPEN_STATES = ("RUNNING", "SCHEDULED")
"""Of a run that may still be written to."""
PLATFORMS_ARTIFACTS = ("report.html", "data_docs")
"""Among a run's artifacts, what the platform alone writes: Airflow's own pages show it."""
_REOPEN = "Clear the step: its next try may write."
_MODEL = re.compile(r"m-[0-9a-f]{32}")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/@]+))")
_SEARCH = re.compile(r"(attributes\.)?(name|source_run_id|model_type)\s*=\s*'[\w.-]*'")
"""What may be looked for among the run's models."""


class Forbidden(UpdraftError):
    """The grant does not cover the request."""


class Facts(Protocol):
    """What is asked of MLflow itself, with the platform's own login. LookupError for what there is not."""

    def run(self, run_id: str) -> Mapping[str, Any]:
        """The run's ``info``, as it once was: for what never changes."""

    def now(self, run_id: str) -> tuple[str, Mapping[str, str]]:
        """The run's status and its tags at this moment."""

    def model(self, model_id: str) -> Mapping[str, Any]:
        """The logged model's ``info``."""

    def version(self, name: str, version: str) -> Mapping[str, Any]:
        """The model version."""

    def alias(self, name: str, alias: str) -> str:
        """The version that an alias names."""


@dataclass(frozen=True)
class Asked:
    """A request as it came: ``path`` decoded once, ``body`` the JSON of it (None for none, or for one that is an artifact's bytes)."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: Any = None


@dataclass(frozen=True)
class Sent:
    """A request as MLflow gets it. ``streamed``: with the bytes of the one that came."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    streamed: bool = False


RUN_READS = {
    "runs/get": {"run_id", "run_uuid"},
    "metrics/get-history": {"run_id", "run_uuid", "metric_key", "page_token", "max_results"},
    "artifacts/list": {"run_id", "run_uuid", "path", "page_token"},
}
RUN_WRITES = {
    "runs/update": {"run_id", "run_uuid", "status", "end_time"},
    "runs/log-metric": {"run_id", "run_uuid", "key", "value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest"},
    "runs/log-parameter": {"run_id", "run_uuid", "key", "value"},
    "runs/set-tag": {"run_id", "run_uuid", "key", "value"},
    "runs/log-batch": {"run_id", "metrics", "params", "tags"},
    "runs/log-inputs": {"run_id", "datasets"},
    "runs/outputs": {"run_id", "models"},
}
MODEL_WRITES = {("PATCH", ""): {"model_id", "status"}, ("PATCH", "tags"): {"model_id", "tags"}, ("POST", "params"): {"model_id", "params"}}


def decide(asked: Asked, grant: Grant, facts: Facts) -> Sent:
    """What is sent on. Raises Forbidden."""
    if grant.run:
        _insist_valid(grant, facts, asked)
    if asked.path == ARTIFACTS or asked.path.startswith(f"{ARTIFACTS}/"):
        return _artifacts(asked, grant, facts)
    if not asked.path.startswith(API):
        raise _no(asked)
    name = asked.path.removeprefix(API)
    if asked.method == "GET" and name in RUN_READS:
        query = _query(asked, RUN_READS[name])
        _readable_run(query, grant, facts)
        return Sent("GET", asked.path, query)
    if asked.method == "POST" and name in RUN_WRITES:
        return _write(asked, name, grant, facts)
    if name == "logged-models" or name.startswith("logged-models/"):
        return _models(asked, name, grant, facts)
    if asked.method == "GET":
        return _reads(asked, name, grant, facts)
    raise _no(asked)


def _insist_valid(grant: Grant, facts: Facts, asked: Asked) -> None:
    """Forbidden for another try of the step than the one at work, and to write once the run has ended or its model is registered: a token
    may outlive all three, and a cleared step opens its run again."""
    status, tags = facts.now(grant.run)
    if grant.attempt and tags.get(try_tag(grant.attempt.partition("/")[0])) != grant.attempt:
        raise Forbidden("this try of the step is over.", where=asked.path[:200], remedy="Each try is given a token of its own.")
    if asked.method == "GET" or asked.path == f"{API}logged-models/search":
        return
    if status not in OPEN_STATES:
        raise Forbidden(f"the run has ended ({status}).", where=asked.path[:200], remedy=_REOPEN)
    if tags.get(REGISTERED) == "yes":
        raise Forbidden("the run's model is registered, and stays as it is.", where=asked.path[:200], remedy=_REOPEN)


def _reads(asked: Asked, name: str, grant: Grant, facts: Facts) -> Sent:
    """The run's experiment, and the versions that were given."""
    if name == "experiments/get":
        query = _query(asked, {"experiment_id"})
        if not grant.run or query.get("experiment_id") != str(facts.run(grant.run)["experiment_id"]):
            raise Forbidden("another run's experiment.", where=asked.path)
        return Sent("GET", asked.path, query)
    if name in ("model-versions/get", "model-versions/get-download-uri"):
        query = _query(asked, {"name", "version"})
        if (query.get("name"), query.get("version")) not in _versions(grant, facts):
            raise Forbidden("a model version that the step was not given.", where=asked.path)
        return Sent("GET", asked.path, query)
    if name == "registered-models/get":  # the client looks whether it is a prompt
        query = _query(asked, {"name"})
        if query.get("name") not in {model for model, _ in _versions(grant, facts)}:
            raise Forbidden("a model that the step was not given.", where=asked.path)
        return Sent("GET", asked.path, query)
    if name == "registered-models/alias":
        query = _query(asked, {"name", "alias"})
        if f"models:/{query.get('name')}@{query.get('alias')}" not in grant.reads:
            raise Forbidden("an alias that the step was not given.", where=asked.path)
        return Sent("GET", asked.path, query)
    raise _no(asked)


def _write(asked: Asked, name: str, grant: Grant, facts: Facts) -> Sent:
    body = _body(asked, RUN_WRITES[name])
    if not grant.run or not _names(body) or _names(body) != {grant.run}:
        raise Forbidden("another run.", where=asked.path, remedy="Log to the step's own run.")
    for key in _tags(body, name):
        if key.strip().casefold().startswith(RESERVED) and key not in OWN_TAGS:
            raise Forbidden(f"tag {key[:80]!r} is the platform's.", where=asked.path, remedy="Use another name.")
    if name == "runs/update" and body.get("status", "RUNNING") not in RUN_STATES:
        raise Forbidden("the run's end is the platform's to say.", where=asked.path)
    metrics = _rows(body, "metrics") if name == "runs/log-batch" else [body]
    models = [row["model_id"] for row in metrics if row.get("model_id")]
    models += [row.get("model_id") for row in _rows(body, "models")] if name == "runs/outputs" else []
    for model in models:
        _own_model(model, grant, facts, asked)
    return Sent("POST", asked.path, body=body)


def _models(asked: Asked, name: str, grant: Grant, facts: Facts) -> Sent:
    """MLflow's logged models: those whose source is the run."""
    if not grant.run and not grant.reads:
        raise _no(asked)
    if name == "logged-models" and asked.method == "POST":
        body = _body(asked, {"experiment_id", "name", "model_type", "source_run_id", "params", "tags"})
        own = facts.run(grant.run)["experiment_id"] if grant.run else None
        if body.get("source_run_id") != grant.run or own is None or str(body.get("experiment_id")) != str(own):
            raise Forbidden("a model of another run.", where=asked.path)
        return Sent("POST", asked.path, body=body)
    if name == "logged-models/search" and asked.method == "POST":
        return _search(asked, grant, facts)
    _, model, *rest = name.split("/")
    part = "/".join(rest)
    if asked.method == "GET" and part in ("", "artifacts/directories"):
        if model not in _given_models(grant, facts):
            _own_model(model, grant, facts, asked)
        return Sent("GET", asked.path, _query(asked, {"artifact_directory_path", "page_token"} if part else set()))
    _own_model(model, grant, facts, asked)
    if asked.method == "DELETE" and not part:
        return Sent("DELETE", asked.path)
    if (asked.method, part) in MODEL_WRITES:
        body = _body(asked, MODEL_WRITES[asked.method, part])
        if body.get("model_id", model) != model:
            raise Forbidden("another model.", where=asked.path)
        return Sent(asked.method, asked.path, body=body)
    raise _no(asked)


def _search(asked: Asked, grant: Grant, facts: Facts) -> Sent:
    """MLflow's own client looks for a run's models among all of the experiment's: it finds the run's."""
    body = _body(asked, {"experiment_ids", "filter", "max_results", "order_by", "page_token"})
    given = str(body.get("filter") or "")
    if not grant.run or (given and not _SEARCH.fullmatch(given)):
        raise Forbidden("a search among other runs' models.", where=asked.path, remedy=f"Filter by source_run_id='{grant.run}'.")
    own = f"source_run_id = '{grant.run}'" + (f" AND {given}" if given else "")
    return Sent("POST", asked.path, body={**body, "experiment_ids": [str(facts.run(grant.run)["experiment_id"])], "filter": own})


def _artifacts(asked: Asked, grant: Grant, facts: Facts) -> Sent:
    """The bytes: below the run's own folder or an own model's; read, too, below what was given."""
    if asked.path == ARTIFACTS:
        if asked.method != "GET":
            raise _no(asked)
        query = _query(asked, {"path"})
        _below(query.get("path", ""), grant, facts, asked, read=True)
        return Sent("GET", ARTIFACTS, query)
    if asked.method not in ("GET", "PUT"):
        raise _no(asked)
    path = asked.path.removeprefix(f"{ARTIFACTS}/")
    _query(asked, set())
    _below(path, grant, facts, asked, read=asked.method == "GET")
    return Sent(asked.method, f"{ARTIFACTS}/{quote(path)}", streamed=asked.method == "PUT")


def _below(path: str, grant: Grant, facts: Facts, asked: Asked, *, read: bool) -> None:
    parts = path.split("/")
    # MLflow decodes a path again, and more than once: nothing that could change by that comes through.
    if any(part in ("", ".", "..") for part in parts) or any(sign in path for sign in "%\\:#?") or not path.isprintable():
        raise Forbidden("not a plain path.", where=asked.path)
    if grant.run and _under(path, facts.run(grant.run)):
        if not read:
            _insist_steps(path, grant, facts, asked)
        return
    if "models" in parts:
        model = parts[parts.index("models") + 1] if parts.index("models") + 1 < len(parts) else ""
        if _MODEL.fullmatch(model) and _under(path, facts.model(model)):
            if not (read and model in _given_models(grant, facts)):
                _own_model(model, grant, facts, asked)
            return
    if read and any(_under(path, {"artifact_uri": source}) for source in _sources(grant, facts)):
        return
    raise Forbidden("another run's artifacts.", where=asked.path)


def _insist_steps(path: str, grant: Grant, facts: Facts, asked: Asked) -> None:
    """Forbidden for an artifact of the run that a step does not write."""
    root = str(facts.run(grant.run)["artifact_uri"]).removeprefix("mlflow-artifacts:/").strip("/")
    first = path.removeprefix(root).strip("/").partition("/")[0].casefold()
    if not first or first in PLATFORMS_ARTIFACTS:
        raise Forbidden(f"artifact {first!r} is the platform's.", where=asked.path, remedy="Use another name.")


def _under(path: str, info: Mapping[str, Any]) -> bool:
    uri = str(info.get("artifact_uri", ""))
    root = uri.removeprefix("mlflow-artifacts:/").strip("/")
    return uri.startswith("mlflow-artifacts:/") and bool(root) and f"{path}/".startswith(f"{root}/")


def _versions(grant: Grant, facts: Facts) -> list[tuple[str, str]]:
    found = []
    for uri in grant.reads:
        if match := _VERSION.fullmatch(uri):
            found.append((match["name"], match["version"] or facts.alias(match["name"], match["alias"])))
    return found


def _sources(grant: Grant, facts: Facts) -> list[str]:
    """Where the versions' files lie."""
    return [str(facts.version(*version).get("source", "")) for version in _versions(grant, facts)]


def _given_models(grant: Grant, facts: Facts) -> set[str]:
    return {source.removeprefix("models:/") for source in _sources(grant, facts) if source.startswith("models:/m-")}


def _given_runs(grant: Grant, facts: Facts) -> set[str]:
    return {str(facts.version(*version).get("run_id", "")) for version in _versions(grant, facts)} - {""}


def _own_model(model: Any, grant: Grant, facts: Facts, asked: Asked) -> None:
    known = isinstance(model, str) and _MODEL.fullmatch(model)
    if not known or not grant.run or facts.model(str(model)).get("source_run_id") != grant.run:
        raise Forbidden("another run's model.", where=asked.path)


def _readable_run(query: Mapping[str, str], grant: Grant, facts: Facts) -> None:
    named = _names(query)
    if len(named) == 1 and (named == {grant.run} or named <= _given_runs(grant, facts)):
        return
    raise Forbidden("another run.", where="run_id", remedy="A step reads its own run.")


def _names(values: Mapping[str, Any]) -> set[str]:
    """The runs that are named; the empty name is nobody's."""
    return {str(values[name]) for name in ("run_id", "run_uuid") if values.get(name) not in (None, "")}


def _tags(body: Mapping[str, Any], name: str) -> list[str]:
    if name == "runs/set-tag":
        return [str(body.get("key", ""))]
    return [str(row.get("key", "")) for row in _rows(body, "tags")] if name == "runs/log-batch" else []


def _rows(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = body.get(name) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Forbidden(f"{name} is no list of objects.", where="body")
    for row in rows:
        if any("_" not in key and key != key.lower() for key in row):
            raise Forbidden(f"{name} has a field under a name that is not MLflow's own.", where="body")
    return rows


def _query(asked: Asked, known: set[str]) -> dict[str, str]:
    names = [name for name, _ in asked.query]
    if len(set(names)) != len(names) or not set(names) <= known:
        raise Forbidden("a query that the door does not know.", where=asked.path)
    return dict(asked.query)


def _body(asked: Asked, known: set[str]) -> dict[str, Any]:
    if asked.query or not isinstance(asked.body, dict) or not set(asked.body) <= known:
        raise Forbidden("a body that the door does not know.", where=asked.path)
    return asked.body


def _no(asked: Asked) -> Forbidden:
    return Forbidden("not for user code.", where=f"{asked.method} {asked.path[:200]}", remedy="A step reads and logs its own run alone.")
