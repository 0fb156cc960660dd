"""Writes what is made by code: Grafana's dashboards, and the rules and monitors of a cluster.

python -m include.dashboards           write docker/grafana/*.json and docker/kubernetes/monitoring/*.yaml
python -m include.dashboards --check   say which are not as the code would write them; exit 1
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from include import atomic
from include.alerting.files import monitors, prometheus_rule
from include.dashboards.pages import PAGES
from include.runtime.settings import REPO

GRAFANA = REPO / "docker" / "grafana"
CLUSTER = REPO / "docker" / "kubernetes" / "monitoring"
HEAD = "# Written by `python -m include.dashboards`.\n"


def files() -> dict[Path, str]:
    """Return the text of each file."""
    found = {GRAFANA / f"{page.uid}.json": json.dumps(page.to_json(), indent=1, ensure_ascii=False) + "\n" for page in PAGES}
    for name, documents in (("rules", [prometheus_rule()]), ("monitors", monitors())):
        found[CLUSTER / f"{name}.yaml"] = HEAD + yaml.safe_dump_all(documents, sort_keys=False, width=1000, allow_unicode=True)
    return found


def main(arguments: list[str]) -> int:
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(REPO))
        if arguments != ["--check"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, files()[path])
            path.chmod(0o644)
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
