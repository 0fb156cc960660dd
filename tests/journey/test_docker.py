"""A run whose steps are containers, on the engine of DOCKER_HOST."""

from typing import Any

import pytest

from tests.include.targets.engine import engine, with_image
from tests.journey.killing import task_process
from tests.journey.site import CONTAINED, Site, until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]
START_S = 120


@pytest.fixture(scope="module")
def client() -> Any:
    return with_image(engine(), "trainer")


def containers(client: Any, site: Site, step: str = "") -> list[str]:
    """The ids of the platform's containers, or of those of one step."""
    labels = [f"updraft.home={site.settings.home.resolve()}"] + ([f"updraft.step={step}"] if step else [])
    return [one["Id"] for one in client.containers(all=True, filters={"label": labels})]


def test_a_step_outlives_its_worker_in_its_container_and_the_run_is_promoted(client: Any, site: Site):
    run = site.trigger(CONTAINED, seconds=25.0)
    site.wait(run, "train", "running")
    until(lambda: containers(client, site, "train"), START_S, "the training's container")
    before = containers(client, site, "train")
    task_process(site, "train", "")
    site.wait(run, "train", "up_for_retry", "queued", "scheduled")
    seen = set(before)

    def trained() -> bool:
        seen.update(containers(client, site, "train"))
        return site.states(*run)["train"] == "success"

    until(trained, 240, "the end of the training")
    assert seen == set(before)
    ended = site.end(run, timeout_s=420)
    assert ended.state == "success" and ended.tasks["promote"] == "success", ended
    assert "begun by process" in site.log(ended, "train", 2)
    assert containers(client, site) == []
    site.settled(site.version(ended), CONTAINED)


def test_a_run_that_is_ended_by_hand_leaves_no_container(client: Any, site: Site):
    dag_id, run_id = run = site.trigger(CONTAINED, seconds=300.0)
    site.wait(run, "train", "running")
    until(lambda: containers(client, site, "train"), START_S, "the training's container")
    site.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
    until(lambda: not containers(client, site), START_S, "no container")
