"""The gateway's table in a backup: which revisions there are and who has which traffic; put back on other ports too. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from include.gateway.endpoint import Endpoint
from include.gateway.table import Split, Table
from include.runtime.settings import REVISION_PORTS
from include.serving.revision import Revision

FILE = "gateway.json"


def text(table: Table) -> str:
    """Return what is written down; :func:`parse` is the inverse, but for what lasts no longer than a trial."""
    splits = {model: {"weights": dict(split.weights), "mirror": split.mirror} for model, split in table.splits.items()}
    return json.dumps({"endpoints": [endpoint.to_json() for endpoint in table.endpoints.values()], "splits": splits}, indent=1)


def parse(written: str) -> Table:
    """Return the table in a text. Raises ValueError, KeyError or TypeError for what is none."""
    data = json.loads(written)
    endpoints = [Endpoint.from_json(entry) for entry in data["endpoints"]]
    splits = {model: Split(dict(split["weights"]), split["mirror"]) for model, split in data["splits"].items()}
    return Table({(endpoint.model, endpoint.revision): endpoint for endpoint in endpoints}, splits)


def settled(table: Table, champions: Mapping[str, int]) -> Table:
    """Return the table with each champion alone, and all of its model's traffic: a trial that was under way has ended."""
    found = Table()
    for model, version in sorted(champions.items()):
        endpoint = table.endpoints.get((model, str(version)))
        if endpoint is not None:
            found = found.add(endpoint).split(model, {str(version): 100})
    return found


def moved(port: int, before: int, now: int) -> int:
    """Return where a server listens on a platform whose port base is ``now`` and was ``before``; one outside of its range stays."""
    return port - before + now if port - before in REVISION_PORTS else port


def endpoint_moved(endpoint: Endpoint, host: str, before: int, now: int) -> Endpoint:
    """Return the endpoint after the platform's move; ``host``: where its own servers listen. Those elsewhere stay."""
    return replace(endpoint, port=moved(endpoint.port, before, now)) if endpoint.host == host else endpoint


def revision_moved(revision: Revision, host: str, before: int, now: int) -> Revision:
    """The same of a revision."""
    if revision.host != host:
        return revision
    ports = {name: moved(getattr(revision, name), before, now) for name in ("http_port", "port2", "port3")}
    return Revision(**{**asdict(revision), "passes": revision.passes, "offers": revision.offers, **ports})
