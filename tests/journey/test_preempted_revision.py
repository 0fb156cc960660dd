"""A revision that holds a GPU gives it up for something more important, and comes back by itself."""

from __future__ import annotations

from typing import Any

import pytest

from include.gateway.gateway import Gateway
from include.gateway.table import Split
from include.pool.state import Config
from include.runtime.credentials import SERVICE
from include.serving.revision import RevisionState
from tests.journey.site import SEATED, Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400)]
POOL = "/gpu-pool/v1"


def leases(site: Site) -> list[dict[str, Any]]:
    return [lease for lease in site.api.get(f"{POOL}/leases", params={"live": True}) if lease["key"].startswith(f"revision/{SEATED}/")]


def state(site: Site, version: int) -> str:
    rows = site.api.get("/lifecycle/v1/revisions", params={"model": SEATED})
    return next(row["state"] for row in rows if row["version"] == version)


@pytest.fixture(scope="module")
def served(site: Site) -> int:
    ended = site.run(SEATED)
    assert ended.state == "success", ended
    return site.version(ended)


def answers(site: Site, version: int) -> bool:
    revision = site.backend.find(SEATED, str(version))
    return revision is not None and site.backend.ready(revision)


def test_a_revision_holds_its_lease_for_as_long_as_it_serves(site: Site, served: int):
    (lease,) = leases(site)
    assert (lease["state"], lease["grants"][0]["milli"], lease["preemptible"]) == ("ACTIVE", 500, True)
    first = lease["expires_at"]
    until(lambda: leases(site)[0]["expires_at"] > first, 30, "a heartbeat of the keeper")
    program = (site.settings.supervisor_programs / f"revision-{SEATED}-{served}.json").read_text()
    assert lease["id"] in program and lease["grants"][0]["uuids"][0] in program


def test_the_keeper_may_be_killed(site: Site, served: int):
    import os
    import signal

    (before,) = leases(site)
    os.kill(site.supervisor.info("lease-keeper")[1], signal.SIGKILL)
    until(lambda: leases(site)[0]["expires_at"] > before["expires_at"], 40, "a heartbeat of the new keeper")
    assert leases(site)[0]["id"] == before["id"]


def test_it_is_preempted_for_something_more_important_and_returns(site: Site, served: int):
    api = site.client(SERVICE)
    important = api.post(f"{POOL}/requests", {"key": "important", "gpus": 2, "priority": 9})
    until(lambda: state(site, served) == RevisionState.PREEMPTED, 40, "PREEMPTED", seen=lambda: state(site, served))
    assert not answers(site, served)
    assert Gateway(site.settings).split(SEATED) == Split({str(served): 100}, None)

    def granted() -> dict[str, Any] | None:
        row: dict[str, Any] = api.post(f"{POOL}/requests/{important['id']}/heartbeat", {})
        return row["lease"]

    until(lambda: granted() is not None, 20, "the important one's lease")
    (waiting,) = (row for row in api.get(f"{POOL}/requests", params={"state": "waiting"}) if row["key"].startswith("revision/"))
    assert waiting["preemptions"] == 1 and waiting["reasons"]

    api.call("DELETE", f"{POOL}/requests/{important['id']}")
    until(lambda: state(site, served) == RevisionState.RUNNING, 60, "RUNNING again", seen=lambda: state(site, served))
    assert answers(site, served)
    assert len(leases(site)) == 1


def test_the_next_version_takes_a_lease_of_its_own_and_the_loser_gives_its_back(site: Site, served: int):
    ended = site.run(SEATED)
    version = site.version(ended)
    champion = site.mlflow.aliases(SEATED)["champion"]
    assert champion in (served, version)
    until(
        lambda: [lease["key"] for lease in leases(site)] == [f"revision/{SEATED}/{champion}"],
        30 + Config().waiting_ttl_s,
        "one lease, the champion's",
        seen=lambda: leases(site),
    )
