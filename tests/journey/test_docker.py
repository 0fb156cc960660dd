"""A model whose steps and servers are containers, on the engine of DOCKER_HOST."""

from typing import Any

import pytest

from tests.include.targets.engine import engine, with_image
from tests.journey.killing import task_process
from tests.journey.site import CONTAINED, Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1800)]
START_S = 120


@pytest.fixture(scope="module")
def client() -> Any:
    return with_image(with_image(engine(), "trainer"), "triton")


def containers(client: Any, site: Site, step: str = "") -> list[str]:
    """The ids of the containers of the platform's steps, or of one step."""
    return list(labelled(client, site, f"updraft.step={step}" if step else "updraft.step"))


def servers(client: Any, site: Site) -> set[str]:
    """The versions that have a server in a container."""
    names = labelled(client, site, "updraft.revision").values()
    return {labels["updraft.revision"].rpartition("-")[2] for labels in names}


def labelled(client: Any, site: Site, label: str) -> dict[str, dict[str, str]]:
    """Labels of the platform's containers that have this one, by id."""
    labels = [f"updraft.home={site.settings.home.resolve()}", label]
    return {one["Id"]: one["Labels"] for one in client.containers(all=True, filters={"label": labels})}


def test_a_step_outlives_its_worker_in_its_container_and_the_run_is_promoted(client: Any, site: Site):
    run = site.trigger(CONTAINED, seconds=25.0)
    site.wait(run, "train", "running")
    until(lambda: containers(client, site, "table.train"), START_S, "the training's container")
    before = containers(client, site, "table.train")
    task_process(site, "train", "")
    site.wait(run, "train", "up_for_retry", "queued", "scheduled")
    seen = set(before)

    def trained() -> bool:
        seen.update(containers(client, site, "table.train"))
        return site.states(*run)["train"] == "success"

    until(trained, 240, "the end of the training")
    assert seen == set(before)
    ended = site.end(run, timeout_s=600)
    assert ended.state == "success" and ended.tasks["promote"] == "success", ended
    assert "begun by process" in site.log(ended, "train", 2)
    assert containers(client, site) == []
    version = site.version(ended)
    assert servers(client, site) == {str(version)}
    site.settled(version, CONTAINED)


def test_servers_in_containers_are_tried_promoted_rolled_back_and_returned_to(client: Any, site: Site):
    champion = site.mlflow.aliases(CONTAINED).get("champion") or site.version(site.run(CONTAINED))
    with site.traffic(CONTAINED) as stop:
        better = site.end(site.trigger(CONTAINED, strength=2.0), timeout_s=600)
        worse = site.end(site.trigger(CONTAINED, error_rate=0.5), timeout_s=600)
        report = stop()
    assert site.verdicts(better)["canary"]["decision"] == "PROMOTE", better
    assert site.verdicts(worse)["canary"]["decision"] == "ROLLBACK", worse
    assert report.failed == report.by_revision[str(site.version(worse))].failed, report.failures
    assert report.by_revision[str(site.version(better))].requests > 20
    assert servers(client, site) == {str(site.version(better))}
    site.settled(site.version(better), CONTAINED)
    done = site.command("include.release", "rollback", CONTAINED)
    assert done.returncode == 0, done.stderr
    assert servers(client, site) == {str(champion)}
    site.settled(champion, CONTAINED)


def test_a_run_that_is_ended_by_hand_leaves_no_container(client: Any, site: Site):
    dag_id, run_id = run = site.trigger(CONTAINED, seconds=300.0)
    site.wait(run, "train", "running")
    until(lambda: containers(client, site, "table.train"), START_S, "the training's container")
    site.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
    until(lambda: not containers(client, site), START_S, "no container")
