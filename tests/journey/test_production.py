"""From data to production and back, by REST, with callers all along."""

from pathlib import Path

import pytest

from include.runtime.credentials import ADMIN
from tests.journey.site import RUN_S, SERVED, UNSEEN, Site

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]


def test_the_first_version_of_an_unseen_model_goes_to_production(site: Site, tmp_path: Path):
    """As a CI job begins it, waits for it, and comments on it."""
    comment = tmp_path / "comment.md"
    job = ("include.ci", "run", str(site.models / UNSEEN), "--key", "0a1b2c", "--comment", str(comment))
    user = {"UPDRAFT_USER": ADMIN, "UPDRAFT_PASSWORD": site.credentials.airflow_passwords[ADMIN]}
    platform = {"UPDRAFT_URL": site.settings.airflow_url, **user}
    done = site.command(*job, timeout_s=RUN_S, **platform)
    assert done.returncode == 0, done.stdout + done.stderr
    ended = site.end((f"{UNSEEN}_lifecycle", "ci__0a1b2c"))
    assert ended.state == "success", ended
    told = comment.read_text()
    assert done.stdout.endswith(f"{told}\n") and f"{UNSEEN}: PROMOTED" in told and "| ✅ |" in told, told
    assert f"{site.settings.airflow_url}/lifecycle/report/" in told and "model.yaml" not in told
    again = site.command(*job, **platform)
    assert again.returncode == 0 and "There already: " in again.stdout, "a job that is run again begins no second run"
    spec = site.models / UNSEEN / "model.yaml"
    before = spec.read_text()
    spec.write_text(before.replace("description: Benign", "description: Kind"))
    other = site.command(*job, **platform)
    spec.write_text(before)
    assert other.returncode == 1 and "another model.yaml than this commit's: description differ" in other.stdout, other.stdout
    verdicts = site.verdicts(ended)
    assert {kind: row["decision"] for kind, row in verdicts.items()} == {
        "data": "PASS", "gate": "PASS", "verify": "PASS", "deploy": "PASS", "canary": "PROMOTE",
    }  # fmt: skip
    site.settled(site.version(ended), UNSEEN)


def test_a_better_version_is_promoted_through_the_canary_without_a_failed_request(site: Site, champion: int):
    with site.traffic() as stop:
        ended = site.run(strength=2.0)
        report = stop()
    assert ended.state == "success", (ended, site.verdicts(ended).get("canary"))
    version = site.version(ended)
    assert version > champion
    assert site.verdicts(ended)["canary"]["decision"] == "PROMOTE"
    assert report.failed == 0, report.failures
    assert report.by_revision[str(version)].requests > 20
    assert site.aliases["previous"] == champion
    site.settled(version)


def test_a_bad_version_is_rolled_back_and_stable_callers_notice_nothing(site: Site, champion: int):
    with site.traffic() as stop:
        ended = site.run(error_rate=0.5)
        report = stop()
    version = site.version(ended)
    assert ended.state == "success", ended
    assert ended.tasks["rollback"] == "success" and ended.tasks["promote"] == "skipped"
    assert site.verdicts(ended)["canary"]["decision"] == "ROLLBACK"
    assert report.failed == report.by_revision[str(version)].failed, report.failures
    site.settled(champion)


def test_by_hand_production_goes_back_to_the_version_before_within_seconds(site: Site, champion: int):
    before = site.aliases.get("previous")
    if before is None:
        with site.traffic():
            assert site.run().state == "success"
        before, champion = champion, site.aliases["champion"]
    with site.traffic() as stop:
        done = site.command("include.release", "rollback", SERVED)
        report = stop()
    assert done.returncode == 0, done.stderr
    assert f"Version {before} of {SERVED} serves now" in done.stdout
    assert report.failed == 0, report.failures
    assert site.aliases == {"champion": before, "previous": champion}
    site.settled(before)
