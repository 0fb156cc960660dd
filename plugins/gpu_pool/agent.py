"""``python -m gpu_pool.agent``: tells the pool which GPUs there are and what runs on them. For every GPU machine, or once for a cluster,
whose GPU nodes may have one each that adds what NVML says (``--facts``)."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import FrameType

from include.errors import InputError, UpdraftError
from include.inventory.agent import Agent
from include.inventory.choose import SIMULATED, SOURCES, Wish, choose
from include.inventory.cluster_facts import FactsDoor
from include.inventory.door import Door
from include.inventory.pod_resources import SOCKET, holders
from include.inventory.report import Inventory, to_json
from include.inventory.sequence import Sequence
from include.kubernetes.client import configuration
from include.pool.ask import NAME


def main() -> int:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        _agent(arguments).run()
    except UpdraftError as error:
        print(f"gpu_pool.agent: {error}", file=sys.stderr)
    return 1


def _agent(arguments: argparse.Namespace) -> Agent:
    if arguments.reporter and not NAME.match(arguments.reporter):
        raise InputError(
            f"{arguments.reporter!r:.80} is no name.", where="--reporter", remedy="Give 1 to 63 letters, digits, `_`, `.`, `-`."
        )
    if not 0.1 <= arguments.every <= 3600:
        raise InputError(f"is {arguments.every:g}.", where="--every", remedy="Give from 0.1 to 3600 seconds.")
    inventory, reporter = choose(
        Wish(arguments.source, arguments.file, arguments.reporter, arguments.sharing, arguments.facts, arguments.recut)
    )
    if arguments.print:
        print(json.dumps([device for node in inventory.read() for device in to_json(node)["devices"]]))
        raise SystemExit(0)
    if arguments.facts and not inventory.cluster:
        return _node_agent(arguments, inventory, reporter)
    for option in ("server", "token_file"):
        if not getattr(arguments, option):
            raise InputError("is missing.", where=f"--{option.replace('_', '-')}", remedy="Say where the pool is, and who reports.")
    door = Door(arguments.server, arguments.token_file, reporter, plain_http=arguments.plain_http)
    token: Path = arguments.token_file
    return Agent(inventory, door, reporter, Sequence(token.with_name(f"{token.name}.sequence")), arguments.every, _say)


def _node_agent(arguments: argparse.Namespace, inventory: Inventory, node: str) -> Agent:
    """On a node of a cluster, whose own agent reports to the pool: what is seen here goes to the cluster."""
    from kubernetes import client

    api = client.CoreV1Api(client.ApiClient(configuration()))
    door = FactsDoor(api, arguments.facts, node, partial(holders, arguments.kubelet))
    return Agent(inventory, door, node, Sequence(Path(tempfile.gettempdir()) / "updraft-facts.sequence"), arguments.every, _say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpu_pool.agent", description=__doc__)
    parser.add_argument("--source", choices=SOURCES, default="auto", help="auto: NVML where a GPU is, else the declared file")
    parser.add_argument("--server", default="", metavar="URL", help="Airflow's API server")
    parser.add_argument("--token-file", type=Path, metavar="F", help="holds the reporter's token (mode 0600)")
    parser.add_argument(
        "--file",
        type=Path,
        default=SIMULATED,
        metavar="YAML",
        help="the declared inventory, or that of machines that are taken by the hour (burst)",
    )
    parser.add_argument("--reporter", default="", metavar="NAME", help="the node's name, or the cluster's")
    parser.add_argument("--sharing", choices=("", "time-slice", "mps"), default="", help="NVML: shares of these GPUs may be leased")
    parser.add_argument("--recut", action="store_true", help="NVML: the pool may cut idle MIG instances anew (needs root)")
    parser.add_argument(
        "--facts", default="", metavar="NAMESPACE", help="of a cluster: where its nodes' agents keep what NVML says; they give this alone"
    )
    parser.add_argument("--kubelet", type=Path, default=SOCKET, metavar="F", help="a node's: the socket that tells which pod has what")
    parser.add_argument("--print", action="store_true", help="say once what the GPUs here are, as JSON, and end: for burst's hook `state`")
    parser.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds between reports (5)")
    parser.add_argument("--plain-http", action="store_true", help="allow http:// to another machine: the token travels in clear")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
