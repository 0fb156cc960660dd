"""Has the gateway's own Envoy compile every Lua script: ``python -m tests.lua``, as `make lint` does. A mistake is told with its line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from include.gateway import gateway, script

PLACE = re.compile(r"@[A-Z]+@")
TYPES = "type.googleapis.com/envoy.extensions.filters"


def configuration(name: str, text: str) -> dict[str, Any]:
    """An Envoy that would listen nowhere, with one script as its filter. What the gateway fills in is a number, which fits anywhere."""
    code = {"inline_string": PLACE.sub("1", text)}
    filters = [
        {"name": name, "typed_config": {"@type": f"{TYPES}.http.lua.v3.Lua", "default_source_code": code}},
        {"name": "router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}},
    ]
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "none", "domains": ["*"]}]},
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener]}}


def mistake(name: str, text: str) -> str:
    """What Envoy says against a script; empty when it takes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "envoy.json"
        path.write_text(json.dumps(configuration(name, text)))
        command = [gateway.envoy(path, 1)[0], "--mode", "validate", "-c", str(path), "-l", "error"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stderr + done.stdout).strip().splitlines() or ["refused without a word"]
    return "" if done.returncode == 0 else said[-1]


def main() -> int:
    found = {path.name: mistake(path.stem, path.read_text()) for path in sorted(script.FOLDER.glob("*.lua"))}
    for name, why in found.items():
        if why:
            print(f"{script.FOLDER / name}: {why}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
