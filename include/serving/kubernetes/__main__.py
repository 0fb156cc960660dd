"""``python -m include.serving.kubernetes render MODEL``: a model's revision as Kubernetes objects, in YAML; ``apply``, ``prune``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from include.errors import InputError, UpdraftError
from include.kinds.load import FILE, load
from include.kubernetes.apply import Applier, Document
from include.kubernetes.client import configuration
from include.runtime.settings import Settings
from include.serving.kubernetes.deployment import revision, volume
from include.serving.kubernetes.kserve import inference_service
from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.routes import RENDERERS, Split
from include.serving.kubernetes.server import Workload
from include.spec.problem import SpecError

TEXTS = ("namespace", "image", "claim", "memory", "cpu", "gateway", "host", "claim_size", "storage_class", "host_path", "pull")
NUMBERS = ("min_replicas", "max_replicas", "queue")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        if given.command == "prune":
            done = _applier(given.namespace).prune(given.model, given.keep)
            print("\n".join(f"deleted {what}" for what in done) or "Nothing to delete.")
            return 0
        documents = render(given)
        if given.command == "apply":
            print("\n".join(f"applied {what}" for what in _applier(given.namespace).apply(documents)))
            return 0
    except (UpdraftError, SpecError) as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1
    print(yaml.safe_dump_all(documents, sort_keys=False, width=140), end="")
    return 0


def _applier(namespace: str) -> Applier:
    from kubernetes.client import ApiClient

    return Applier(ApiClient(configuration()), namespace)


def render(given: argparse.Namespace) -> list[Document]:
    """What the command line asks for. Raises InputError, or SpecError for the model's spec."""
    options = _cluster_options(given)
    path = Settings.load().models / given.model / FILE if "/" not in given.model else Path(given.model)
    if not path.exists():
        raise InputError("there is no such model.", where=str(path), remedy="Name a folder of include/models, or the path of a model.yaml.")
    spec = load(path)
    canary = Workload(spec.name, spec.serve, given.canary_version, options) if given.canary_version else None
    split = Split(Workload(spec.name, spec.serve, given.version, options), canary, given.weight if canary else 0)
    if given.renderer == "kserve":
        return [*volume(options), *inference_service(split)]
    objects = [document for server, _ in split.shares for document in revision(server)]
    return [*volume(options), *objects, *RENDERERS[given.canary](split)]


def _cluster_options(given: argparse.Namespace) -> ClusterOptions:
    try:
        return ClusterOptions(**{name: getattr(given, name) for name in (*TEXTS, *NUMBERS)}, roots=dict(given.root))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = f"--{first['loc'][0]}".replace("_", "-") if first["loc"] else "--min-replicas, --address"
        raise InputError(f"{first['msg']}.", where=option) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.serving.kubernetes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (("render", "print the objects"), ("apply", "bring them to the cluster of KUBECONFIG")):
        _options(commands.add_parser(name, help=does))
    prune = commands.add_parser("prune", help="delete the objects of a model's other versions from the cluster of KUBECONFIG")
    prune.add_argument("model", help="its name")
    prune.add_argument("--keep", type=int, nargs="+", required=True, metavar="VERSION", help="versions that stay")
    prune.add_argument("--namespace", default="updraft", help="(updraft)")
    return parser


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", help="a folder of include/models, or the path of a model.yaml")
    command.add_argument("--version", type=int, default=1, help="the registry's number (1)")
    command.add_argument("--renderer", choices=("deployment", "kserve"), default="deployment")
    command.add_argument("--canary", choices=tuple(RENDERERS), default="httproute", help="what splits the traffic (httproute)")
    command.add_argument("--canary-version", type=int, metavar="N", help="a second version, on trial")
    command.add_argument("--weight", type=int, default=10, metavar="PERCENT", help="its share of the traffic (10)")
    help_ = "where an image that is not Updraft's own has a backend's server, such as triton=/opt/tritonserver"
    command.add_argument("--root", type=_pair, action="append", default=[], metavar="BACKEND=PATH", help=help_)
    defaults = {name: one.default for name, one in ClusterOptions.model_fields.items()}
    for name in (*TEXTS, *NUMBERS):
        kind = int if name in NUMBERS else str
        command.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind, default=defaults[name], help=f"({defaults[name]})")


def _pair(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form BACKEND=PATH")
    return name, path


if __name__ == "__main__":
    sys.exit(main())
