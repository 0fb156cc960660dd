"""Every manifest against the schemas of the newest Kubernetes, and compose.yaml against Compose's: ``python -m tests.manifests``, part of
`make lint`.

An API that Kubernetes does not have is checked against ``schemas/``; one that isn't there either is an error, unless it is one of OTHERS.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from include.runtime.settings import REPO
from include.serving.kubernetes.__main__ import _parser, render

FOLDER = REPO / "docker" / "kubernetes"
OTHERS = {
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"),
    ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
}
"""They have no schema here."""
SCHEMAS = REPO / "tests" / "schemas" / "gateway-api.json"
KUSTOMIZATION = "kustomization.yaml"
COMPOSE = sorted((REPO / "docker").glob("compose*.yaml"))
COMPOSE_SCHEMA = "vendor.compose-spec"
PINNED = re.compile(r"^[\w./-]+:[\w.-]*\d[\w.-]*$")


def check(document: dict[str, Any]) -> str:
    """What is wrong with it, "" if nothing."""
    from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

    kind = document.get("apiVersion"), document.get("kind")
    if kind in OTHERS:
        return ""
    if schema := _schemas().get("/".join(map(str, kind))):
        return _against(schema, document)
    try:
        validate(document, latest_version(), strict=True)
    except SchemaNotFoundError as error:
        return str(error.message)
    except ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message:.300}"
    return ""


@cache
def _schemas() -> dict[str, Any]:
    return dict(json.loads(SCHEMAS.read_text()))


def _against(schema: dict[str, Any], document: Any) -> str:
    from jsonschema import Draft202012Validator

    error = next(iter(Draft202012Validator(schema).iter_errors(document)), None)
    return f"{'.'.join(map(str, error.path))}: {error.message:.300}" if error else ""


def written() -> dict[str, list[dict[str, Any]]]:
    """What stands in docker/kubernetes, by file: all that a kustomization lists. A file that none lists is an error."""
    found = {}
    for kustomization in sorted(FOLDER.rglob(KUSTOMIZATION)):
        for name in yaml.safe_load(kustomization.read_text())["resources"]:
            path = kustomization.parent / name
            found[str(path.relative_to(FOLDER))] = list(yaml.safe_load_all(path.read_text()))
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml") if path.parent.name != "values"}
    if forgotten := sorted(name for name in files - set(found) if not name.endswith(KUSTOMIZATION)):
        raise SystemExit(f"No kustomization lists {', '.join(forgotten)}.")
    return found


def compose() -> list[str]:
    """What is wrong with the compose files: by Compose's own schema, and by what this project promises of each service."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", COMPOSE_SCHEMA, *map(str, COMPOSE)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    problems = [done.stdout + done.stderr] if done.returncode else []
    for path in COMPOSE:
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            problems += [f"{path.name}: {name}: {problem}" for problem in _service(service)] if "image" in service else []
    return problems


def _service(service: dict[str, Any]) -> list[str]:
    """A service of ours: nobody is root, nothing is writable but what is mounted, ports are loopback's, others' images are pinned."""
    wrong = []
    if (
        not service.get("read_only")
        or service.get("cap_drop") != ["ALL"]
        or "no-new-privileges:true" not in service.get("security_opt", ())
    ):
        wrong.append("is not held to read_only, cap_drop ALL and no-new-privileges")
    if not str(service.get("user", "")).startswith("${UPDRAFT_USER"):
        wrong.append("may be root")
    if service.get("privileged") or not all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())):
        wrong.append("is privileged, or reached from other machines")
    default = re.fullmatch(r"\$\{\w+:-(.*)\}", str(service["image"]))
    if default and not PINNED.match(default[1]):
        wrong.append(f"image {default[1]} is not pinned")
    return wrong


def rendered() -> dict[str, list[dict[str, Any]]]:
    """The models of this repository as revisions, in every way, by command line."""
    found = {}
    for folder in sorted(path.parent.name for path in (REPO / "include" / "models").glob("*/model.yaml")):
        for way in ("", "--renderer kserve", "--canary-version 2", "--canary ingress-nginx --canary-version 2"):
            line = f"render {folder} {way}".strip()
            found[line] = render(_parser().parse_args(line.split()))
    return found


def main() -> int:
    problems, checked = compose(), 0
    for source, documents in {**written(), **rendered()}.items():
        for document in documents:
            checked += 1
            if problem := check(document):
                problems.append(f"{source}: {document.get('kind')} {document.get('metadata', {}).get('name')}: {problem}")
    for path in Path(FOLDER / "values").glob("*.yaml"):
        yaml.safe_load(path.read_text())
    print("\n".join(problems) or f"{checked} Kubernetes objects and {len(COMPOSE)} compose files are as Kubernetes and Compose want them.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
