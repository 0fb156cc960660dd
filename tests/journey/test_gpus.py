"""The GPUs of a machine that has none: the platform's own agent reports the declared ones, whatever happens to it."""

import os
import signal
import stat

import pytest

from include.inventory.choose import gpus_here
from include.pool.state import Config
from tests.journey.site import Site
from tests.waiting import until

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(300),
    pytest.mark.skipif(gpus_here() > 0, reason="there is a GPU here: nothing is simulated"),
]
INVENTORY = "/gpu-pool/v1/inventory"


def node(site: Site) -> dict:
    (found,) = (node for node in site.api.get(INVENTORY)["nodes"] if node["reporter"] == "simulated")
    return found


def token(site: Site):
    return site.settings.gpu_agent / "simulated.token"


def test_two_simulated_gpus_are_there_when_the_platform_is_up(site: Site):
    found = node(site)
    assert site.api.get(INVENTORY)["simulated"] and found["simulated"]
    assert [(device["model"], device["memory_mib"], device["sharing"]) for device in found["devices"]] == [
        ("H100-80GB", 81920, "time-slice")
    ] * 2
    assert not found["lost"]


def test_status_tells_the_pool_in_one_line(site: Site):
    (line,) = (line for line in site.command("include.platform", "status").stdout.splitlines() if "GPUs:" in line)
    assert "2 H100-80GB (simulated):" in line


def test_its_token_is_its_owners_alone_and_in_no_log(site: Site):
    secret = token(site).read_text().strip()
    assert len(secret) >= 24
    assert stat.S_IMODE(token(site).stat().st_mode) == 0o600
    assert secret not in (site.settings.logs / "gpu-agent.log").read_text()


def test_a_killed_agent_is_back_and_its_node_was_never_lost(site: Site):
    before = node(site)["reported_at"]
    _, process, _ = site.supervisor.info("gpu-agent")
    os.kill(process, signal.SIGKILL)

    def back() -> bool:
        found = node(site)
        assert not found["lost"]
        return found["reported_at"] > before and site.supervisor.info("gpu-agent")[1] not in (0, process)

    until(back, Config().node_silent_s, "a report of the agent's successor")


def test_up_again_keeps_a_token_that_is_taken(site: Site):
    before = token(site).read_text()
    site.up()
    assert token(site).read_text() == before


def test_up_again_replaces_a_token_that_is_refused(site: Site):
    site.api.call("DELETE", "/gpu-pool/v1/agents/simulated")
    before = token(site).read_text()
    site.up()
    assert token(site).read_text() != before
    since = node(site)["reported_at"]
    until(lambda: node(site)["reported_at"] > since, Config().node_silent_s, "a report with the new token")
