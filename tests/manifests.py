"""Every manifest against the schemas of the newest Kubernetes: ``python -m tests.manifests``, part of `make lint`.

An API that Kubernetes does not have is an error, unless it is one of OTHERS: those have no schema here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from include.platform.settings import REPO
from include.serving.kubernetes.__main__ import _parser, render

FOLDER = REPO / "docker" / "kubernetes"
OTHERS = {("gateway.networking.k8s.io/v1", "HTTPRoute"), ("serving.kserve.io/v1beta1", "InferenceService")}
KUSTOMIZATION = "kustomization.yaml"


def check(document: dict[str, Any]) -> str:
    """What is wrong with it, "" if nothing."""
    from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

    if (document.get("apiVersion"), document.get("kind")) in OTHERS:
        return ""
    try:
        validate(document, latest_version(), strict=True)
    except SchemaNotFoundError as error:
        return str(error.message)
    except ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message:.300}"
    return ""


def written() -> dict[str, list[dict[str, Any]]]:
    """What stands in docker/kubernetes, by file."""
    listed = yaml.safe_load((FOLDER / KUSTOMIZATION).read_text())["resources"]
    return {name: list(yaml.safe_load_all((FOLDER / name).read_text())) for name in listed}


def rendered() -> dict[str, list[dict[str, Any]]]:
    """The models of this repository as revisions, in every way, by command line."""
    found = {}
    for folder in sorted(path.parent.name for path in (REPO / "include" / "models").glob("*/model.yaml")):
        for way in ("", "--renderer kserve", "--canary-version 2", "--canary ingress-nginx --canary-version 2"):
            line = f"render {folder} {way}".strip()
            found[line] = render(_parser().parse_args(line.split()))
    return found


def main() -> int:
    problems, checked = [], 0
    for source, documents in {**written(), **rendered()}.items():
        for document in documents:
            checked += 1
            if problem := check(document):
                problems.append(f"{source}: {document.get('kind')} {document.get('metadata', {}).get('name')}: {problem}")
    for path in Path(FOLDER / "values").glob("*.yaml"):
        yaml.safe_load(path.read_text())
    print("\n".join(problems) or f"{checked} Kubernetes objects are as Kubernetes wants them.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
