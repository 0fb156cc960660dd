"""What people decide in the middle of a run, by REST as the UI does it."""

import time

import pytest

from tests.journey.site import SERVED, Site

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]


TAKEN_NOTE_S = 5


def answer(site: Site, run: tuple[str, str], task: str, choice: str) -> None:
    """Wait until a task asks, and answer it as fast as a person may."""
    dag_id, run_id = run
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"
    site.wait(run, task, "awaiting_input")
    # Airflow takes an answer for a crash of the task, and asks again, until the task's process has ended and it has taken note of that:
    # up to a heartbeat (3 s) and a look of the scheduler. Nothing shows when.
    time.sleep(TAKEN_NOTE_S)
    site.api.call("PATCH", path, json={"chosen_options": [choice], "params_input": {}})


def test_an_approved_version_is_deployed(site: Site, champion: int):
    run = site.trigger(approval=True, canary_steps=[50])
    answer(site, run, "approve", "Approve")
    with site.traffic():
        ended = site.end(run)
    assert ended.state == "success" and ended.tasks["promote"] == "success", ended
    site.settled(site.version(ended))


def test_a_rejected_version_goes_no_further(site: Site, champion: int):
    run = site.trigger(approval=True)
    answer(site, run, "approve", "Reject")
    ended = site.end(run)
    assert ended.state == "failed", ended
    assert ended.tasks["approve"] == "failed"
    assert {ended.tasks[task] for task in ("optimize", "register", "deploy", "promote")} == {"upstream_failed"}
    site.settled(champion)


@pytest.mark.parametrize("choice", ["promote", "rollback"])
def test_an_inconclusive_trial_is_held_until_a_person_decides(site: Site, champion: int, choice: str):
    """Nobody calls, so there is no evidence."""
    run = site.trigger(canary_on_inconclusive="hold", canary_steps=[30], canary_step_s=2.0)
    site.wait(run, "hold", "awaiting_input")
    version = site.version(run)
    assert site.gateway.split(SERVED).weights == {str(champion): 70, str(version): 30}
    answer(site, run, "hold", choice)
    ended = site.end(run)
    assert ended.state == "success" and ended.tasks[choice] == ended.tasks["report"] == "success", ended
    assert site.verdicts(ended)["canary"]["decision"] == "INCONCLUSIVE"
    site.settled(version if choice == "promote" else champion)
