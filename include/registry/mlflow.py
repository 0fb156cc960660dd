"""MLflow over its REST API: runs, artifacts, model versions and their aliases.

Tasks use this and not the mlflow package, whose import alone costs a short task several seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from include.errors import ComponentError, InputError
from include.runtime import web

RUN_KEY = "updraft.run_key"
REGISTERED = "updraft.registered"
"""``yes`` on a run whose model is, or is about to be, a version: no step's token writes to it any more."""
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
NOT_IN_S3 = "An error occurred (404)"
"""MLflow's words, in an answer 500, for an artifact that its bucket does not have; with files it answers 404."""
RETRIES = 3
"""Counted here and not by the client: whether an answer 500 is tried again is for its words to say (:data:`NOT_IN_S3`)."""
PIECE_BYTES = 1 << 20
"""Of an artifact that are in memory at once."""
TRANSFER_S = (30.0, 600.0)
"""To connect, and between two pieces of an artifact, which a server may have to copy before it answers."""
CODE = "code.json"
"""The artifact that holds a run's code: text by path."""
KIND = {"key": "mlflow.experimentKind", "value": "custom_model_development"}
"""The tag by which MLflow's UI shows an experiment as machine learning's: runs, metrics and models, not traces and prompts."""
NOTE = "mlflow.note.content"
MOST_POINTS = 25_000
"""Of a metric's history (MLflow's own limit)."""


class Mlflow:
    """A client for one server. Connection failures and 5xx are tried again ``retries`` times, then raised as ComponentError; a refusal is
    an InputError."""

    def __init__(self, url: str, username: str = "", password: str = "", timeout_s: float = 30, retries: int = RETRIES) -> None:
        self.url, self.username, self.password, self._timeout_s = url.rstrip("/"), username, password, timeout_s
        self._retries = retries
        self._session = web.session()
        self._artifact_roots: dict[str, str] = {}
        if username:
            self._session.auth = (username, password)

    # Runs

    def ensure_run(self, experiment: str, run_key: str, name: str, parent: str = "") -> str:
        """The id of the MLflow run of this DAG run (or of a part of it, below its ``parent``), made on first use. Keys hold no quotes:
        Airflow allows none in run ids."""
        experiment_id = self._ensure_experiment(experiment)
        found = self._post(
            "runs/search", {"experiment_ids": [experiment_id], "filter": f"tags.`{RUN_KEY}` = '{run_key}'", "max_results": 1}
        )
        if found.get("runs"):
            return str(found["runs"][0]["info"]["run_id"])
        tags = [{"key": RUN_KEY, "value": run_key}, {"key": "mlflow.runName", "value": name}]
        tags += [{"key": "mlflow.parentRunId", "value": parent}] if parent else []
        body = {"experiment_id": experiment_id, "run_name": name, "start_time": int(time.time() * 1000), "tags": tags}
        return str(self._post("runs/create", body)["run"]["info"]["run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self._get("runs/get", {"run_id": run_id})["run"]
        return run

    def logged_model(self, model_id: str) -> dict[str, Any]:
        """The ``info`` of one of MLflow's logged models."""
        info: dict[str, Any] = self._get(f"logged-models/{quote(model_id, safe='')}", {})["model"]["info"]
        return info

    def tags(self, run_id: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.run(run_id)["data"].get("tags", [])}

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._post("runs/set-tag", {"run_id": run_id, "key": key, "value": value[:5000]})

    def log(self, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Log parameters, and metrics as pairs of a step and a value. The same again changes nothing that MLflow's pages show."""
        now = int(time.time() * 1000)
        rows = [{"key": name, "value": value, "timestamp": now, "step": step} for name, values in metrics.items() for step, value in values]
        own = [{"key": name, "value": str(value)[:6000]} for name, value in params.items()]
        self._post("runs/log-batch", {"run_id": run_id, "params": own, "metrics": rows[:1000]})

    def rename(self, run_id: str, name: str, note: str) -> None:
        """Give a run the name and the note (Markdown) that MLflow's pages show."""
        self._post("runs/update", {"run_id": run_id, "run_name": name})
        self.set_tags(run_id, {NOTE: note})

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """A metric's values by step, in order; empty when it was never logged."""
        query: dict[str, Any] = {"run_id": run_id, "metric_key": metric, "max_results": MOST_POINTS}
        rows = self._get("metrics/get-history", query).get("metrics", [])
        return sorted((int(row.get("step", 0)), float(row["value"])) for row in rows)

    def end_run(self, run_id: str, *, failed: bool) -> None:
        self._post("runs/update", {"run_id": run_id, "status": "FAILED" if failed else "FINISHED", "end_time": int(time.time() * 1000)})

    def open_run(self, run_id: str) -> None:
        """Let steps write to the run again when it has ended or its model was registered: one of them was cleared, and begins anew."""
        run = self.run(run_id)
        if run["info"]["status"] != "RUNNING":
            self._post("runs/update", {"run_id": run_id, "status": "RUNNING"})
        if any(tag == {"key": REGISTERED, "value": "yes"} for tag in run["data"].get("tags", [])):
            self.set_tags(run_id, {REGISTERED: "no"})

    def run_page(self, run_id: str) -> str:
        """The run's page in MLflow's own UI."""
        return f"{self.url}/#/experiments/{self.run(run_id)['info']['experiment_id']}/runs/{run_id}"

    # Artifacts

    def upload(self, run_id: str, source: Path, path: str = "") -> None:
        """Store a file, or everything below a folder, among the run's artifacts under ``path``."""
        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        for file in files:
            name = file.relative_to(source).as_posix() if source.is_dir() else file.name
            self.send(run_id, f"{path}/{name}" if path else name, file)

    def send(self, run_id: str, path: str, file: Path) -> None:
        """Store a file as one artifact, in place of what was there; it is read in pieces."""
        if not file.stat().st_size:
            return self.write(run_id, path, b"")  # a stream without a length is no empty file to every store
        with file.open("rb") as content:
            self._call("PUT", self._artifact_url(run_id, path), data=content, timeout=TRANSFER_S)

    def sizes(self, run_id: str, path: str) -> dict[str, int]:
        """Return the artifacts below folder ``path``, by their paths relative to it, with their sizes (bytes)."""
        found: dict[str, int] = {}
        for file in self._get("artifacts/list", {"run_id": run_id, "path": path}).get("files", []):
            relative = Path(file["path"]).relative_to(path).as_posix()
            if file.get("is_dir"):
                found |= {f"{relative}/{name}": size for name, size in self.sizes(run_id, file["path"]).items()}
            else:
                found[relative] = int(file.get("file_size") or 0)
        return found

    def write(self, run_id: str, path: str, content: bytes) -> None:
        """Store one artifact, in place of what was there."""
        self._call("PUT", self._artifact_url(run_id, path), data=content)

    def read(self, run_id: str, path: str) -> bytes:
        """One artifact's bytes. Raises InputError when there is none."""
        return self._call("GET", self._artifact_url(run_id, path)).content

    def download(self, run_id: str, path: str, target: Path) -> Path:
        """Everything below artifact folder ``path``, put below ``target``."""
        listing = self._get("artifacts/list", {"run_id": run_id, "path": path})
        for file in listing.get("files", []):
            relative = Path(file["path"]).relative_to(path)
            if ".." in relative.parts:
                raise ComponentError(f"an artifact is named {file['path']!r}.", where=self.url)
            if file.get("is_dir"):
                self.download(run_id, file["path"], target / relative)
            else:
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                self.fetch(run_id, file["path"], target / relative)
        return target

    def fetch(self, run_id: str, path: str, target: Path) -> None:
        """Put one artifact's bytes into a file, piece by piece. Raises InputError when there is no such artifact."""
        url = self._artifact_url(run_id, path)
        for attempt in range(self._retries + 1):
            try:
                with self._call("GET", url, stream=True, timeout=TRANSFER_S) as answer, target.open("wb") as file:
                    for piece in answer.iter_content(PIECE_BYTES):
                        file.write(piece)
                return
            except requests.RequestException as error:  # the connection was lost on the way: all of it again
                if attempt == self._retries:
                    what = f"{path} was cut off ({type(error).__name__})"
                    raise ComponentError(what, where=f"MLflow at {self.url}", remedy="See `make status`.") from None

    def check_source(self, run_id: str, source: str) -> None:
        """InputError unless ``source`` (what a step says that its model is) belongs to the run: registering it reads it with all rights."""
        if source.startswith("models:/m-"):
            own = self.logged_model(source.removeprefix("models:/")).get("source_run_id") == run_id
        else:
            root = str(self.run(run_id)["info"]["artifact_uri"]).rstrip("/")
            own = source.startswith(f"{root}/") and ".." not in source.split("/")
        if not own:
            raise InputError(f"{source[:200]!r} is not of this run.", where="the step's result: model_uri", remedy="Clear the step.")

    # Model versions

    def ensure_version(self, model: str, *, run_id: str, source: str, run_key: str, tags: Mapping[str, str]) -> int:
        """The version registered by this run, made on first use."""
        self._post("registered-models/create", {"name": model}, allow="RESOURCE_ALREADY_EXISTS")
        for version in self.versions(model):
            if version["tags"].get(RUN_KEY) == run_key:
                return int(version["version"])
        rows = [{"key": key, "value": value} for key, value in ({RUN_KEY: run_key} | dict(tags)).items()]
        body = {"name": model, "source": source, "run_id": run_id, "tags": rows}
        if source.startswith("models:/m-"):
            body["model_id"] = source.removeprefix("models:/")
        return int(self._post("model-versions/create", body)["model_version"]["version"])

    def versions(self, model: str) -> list[dict[str, Any]]:
        """Every version, newest first, its tags as a dict."""
        found, token = [], ""
        while True:
            query = {"filter": f"name='{model}'", "max_results": 200, "page_token": token}
            page = self._get("model-versions/search", query)
            found += page.get("model_versions", [])
            token = page.get("next_page_token", "")
            if not token:
                break
        for version in found:
            version["tags"] = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
        return sorted(found, key=lambda version: -int(version["version"]))

    def version(self, model: str, version: int) -> dict[str, Any]:
        found: dict[str, Any] = self._get("model-versions/get", {"name": model, "version": str(version)})["model_version"]
        found["tags"] = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        return found

    def version_facts(self, model: str, version: int) -> dict[str, Any]:
        """What a version was made of: ``params``, ``data`` (its snapshot's MD5, empty when it has none), and ``code`` (text by path, empty
        when none was kept)."""
        run_id = str(self.version(model, version)["run_id"])
        data = self.run(run_id)["data"]
        tags = {tag["key"]: tag["value"] for tag in data.get("tags", [])}
        try:
            code = json.loads(self.read(run_id, CODE))
        except (InputError, ValueError):
            code = {}
        params = {row["key"]: row["value"] for row in data.get("params", [])}
        return {"params": params, "data": tags.get("updraft.data.md5", ""), "code": code if isinstance(code, dict) else {}}

    def describe(self, model: str, version: int, words: str, models_words: str) -> None:
        """Set the descriptions of a version and of its model (Markdown)."""
        self._call("PATCH", self._registry("model-versions/update"), json={"name": model, "version": str(version), "description": words})
        self._call("PATCH", self._registry("registered-models/update"), json={"name": model, "description": models_words})

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version; empty when the model is not registered yet."""
        answer = self._get("registered-models/get", {"name": model}, allow="RESOURCE_DOES_NOT_EXIST")
        rows = answer.get("registered_model", {}).get("aliases", [])
        return {row["alias"]: int(row["version"]) for row in rows}

    def all_aliases(self) -> dict[str, dict[str, int]]:
        """Every registered model's aliases, by its name, a thousand models a request."""
        found: dict[str, dict[str, int]] = {}
        token = ""
        while True:
            page = self._get("registered-models/search", {"max_results": 1000, "page_token": token})
            for model in page.get("registered_models", []):
                found[model["name"]] = {row["alias"]: int(row["version"]) for row in model.get("aliases", [])}
            token = page.get("next_page_token", "")
            if not token:
                return found

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self._post("registered-models/alias", {"name": model, "alias": alias, "version": str(version)})

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias; one that is not there is fine."""
        url = self._registry("registered-models/alias")
        self._call("DELETE", url, json={"name": model, "alias": alias}, allow=("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"))

    # The wire

    def _ensure_experiment(self, name: str) -> str:
        answer = self._get("experiments/get-by-name", {"experiment_name": name}, allow="RESOURCE_DOES_NOT_EXIST")
        if "experiment" in answer:
            return str(answer["experiment"]["experiment_id"])
        made = self._post("experiments/create", {"name": name, "tags": [KIND]}, allow="RESOURCE_ALREADY_EXISTS")
        return str(made["experiment_id"]) if "experiment_id" in made else self._ensure_experiment(name)

    def _registry(self, path: str) -> str:
        return f"{self.url}/api/2.0/mlflow/{path}"

    def _artifact_url(self, run_id: str, path: str) -> str:
        root = self._artifact_roots.get(run_id) or str(self.run(run_id)["info"]["artifact_uri"])
        if not root.startswith("mlflow-artifacts:/"):
            raise ComponentError(f"the run's artifacts are at {root}, which the server does not proxy.", where=self.url)
        self._artifact_roots[run_id] = root
        return f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{quote(root.removeprefix('mlflow-artifacts:/'))}/{quote(path)}"

    def _get(self, path: str, query: Mapping[str, Any], allow: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = self._call("GET", f"{self.url}/api/2.0/mlflow/{path}", params=query, allow=(allow,)).json()
        return answer

    def _post(self, path: str, body: Mapping[str, Any], allow: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = self._call("POST", f"{self.url}/api/2.0/mlflow/{path}", json=body, allow=(allow,)).json()
        return answer

    def _call(self, method: str, url: str, *, allow: tuple[str, ...] = (), **kwargs: Any) -> requests.Response:
        kwargs = {"timeout": self._timeout_s} | kwargs
        for attempt in range(self._retries + 1):
            if hasattr(kwargs.get("data"), "seek"):
                kwargs["data"].seek(0)
            try:
                answer = self._session.request(method, url, **kwargs)
            except requests.RequestException as error:
                cause = f"no answer ({type(error).__name__})"
            else:
                if answer.status_code < 500 or NOT_IN_S3 in answer.text:
                    return _accepted(answer, allow, self.url)
                cause = f"answered {answer.status_code}: {answer.text[:300]}"
            if attempt < self._retries:
                time.sleep(0.5 * 2**attempt)
        raise ComponentError(f"{method} {url.removeprefix(self.url)}: {cause}", where=f"MLflow at {self.url}", remedy="See `make status`.")


def _accepted(answer: requests.Response, allow: tuple[str, ...], where: str) -> requests.Response:
    if answer.status_code < 400:
        return answer
    try:
        body = answer.json()
        code, message = body.get("error_code", ""), body.get("message", answer.text)
    except ValueError:
        code, message = "", answer.text
    if code and code in allow:
        return answer
    raise InputError(f"refused ({answer.status_code} {code}): {message[:500]}", where=f"MLflow at {where}")
