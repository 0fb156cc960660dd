"""Training code and data that are no good: the run fails with a sentence in its log, and production is as it was."""

import csv

import pytest

from tests.journey import newcomer
from tests.journey.site import Ended, Site

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

RUNS = {
    "raise": ("raiser", {"mischief": "raise"}),
    "hang": ("hanger", {"mischief": "hang"}),
    "killed": ("killer", {"mischief": "killed"}),
}
QUICK = {"nothing": {"mischief": "nothing"}, "nan": {"mischief": "nan"}}


@pytest.fixture(scope="module")
def as_it_was(site: Site) -> dict[str, object]:
    """Who served the models before their slow failures: nobody, or what another test has left in production."""
    return {model: site.gateway.split(model) for model, _ in RUNS.values()}


@pytest.fixture(scope="module")
def begun(site: Site, as_it_was) -> dict[str, tuple[str, str]]:
    """The slow failures, each of a model of its own, started together."""
    return {name: site.trigger(model, **conf) for name, (model, conf) in RUNS.items()}


def failed_in(site: Site, ended: Ended, task: str, *says: str, attempt: int = 1) -> None:
    assert ended.state == "failed", ended
    assert ended.tasks[task] == "failed"
    assert ended.tasks["deploy"] == "upstream_failed"
    log = site.log(ended, task, attempt)
    for text in says:
        assert text in log, log[-3000:]


def test_code_that_raises_fails_once_with_its_own_words(site: Site, begun):
    ended = site.end(begun["raise"])
    failed_in(site, ended, "train", "ZeroDivisionError", "the newcomer's own mistake", "train.py")
    tries = site.api.get(f"/api/v2/dags/{ended.dag_id}/dagRuns/{ended.run_id}/taskInstances/train")["try_number"]
    assert tries == 1


def test_code_that_hangs_is_stopped_at_its_time_limit(site: Site, begun):
    ended = site.end(begun["hang"])
    failed_in(site, ended, "train", "took longer than 0.25 minutes", "train.timeout_minutes")
    site.no_orphans()


@pytest.mark.parametrize(("name", "says"), [("nothing", "returned nothing"), ("nan", "NaN")])
def test_code_that_returns_no_model_fails_with_a_sentence(site: Site, name: str, says: str):
    failed_in(site, site.run("raiser", **QUICK[name]), "train", says)


def test_code_that_is_killed_is_tried_again_and_then_fails_with_a_sentence(site: Site, begun, as_it_was):
    ended = site.end(begun["killed"])
    failed_in(site, ended, "train", "ended from outside", attempt=2)
    assert site.gateway.split("killer") == as_it_was["killer"]


def table(site: Site, name: str, change) -> str:
    """The data set as a CSV file, changed."""
    from sklearn.datasets import load_breast_cancer

    frame = change(load_breast_cancer(as_frame=True).frame)
    path = site.settings.data_roots["data"] / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    return str(path)


BAD_TABLES = {
    "huge": (lambda frame: frame.assign(**{"mean radius": frame["mean radius"].where(frame.index != 7, 999.0)}), ("mean radius", "999")),
    "few": (lambda frame: frame[:100], ("row",)),
    "column": (lambda frame: frame.drop(columns="mean radius"), ("mean radius",)),
    "target": (lambda frame: frame.assign(target=frame.target.astype(float).where(frame.index != 3)), ("target",)),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_data_that_breaks_an_expectation_stops_the_run_and_says_where(site: Site, name: str):
    change, says = BAD_TABLES[name]
    ended = site.run("raiser", data_source=table(site, name, change))
    failed_in(site, ended, "validate_data", *says)
    assert ended.tasks["train"] == "upstream_failed"


def test_a_missing_file_is_named(site: Site):
    failed_in(site, site.run("raiser", data_source="data:no-such-file.csv"), "validate_data", "no-such-file.csv")


def test_a_broken_spec_breaks_its_own_dag_only_and_shows_why(site: Site, champion: int):
    from tests.waiting import until

    folder = newcomer.write(site.models, "crooked")
    (folder / "model.yaml").write_text((folder / "model.yaml").read_text().replace("task: classification", "task: clasification"))

    def errors() -> list[str]:
        found = site.api.get("/api/v2/importErrors")["import_errors"]
        return [error["stack_trace"] for error in found if "crooked" in error["filename"]]

    until(errors, 120, "the import error", every_s=0.5)
    assert "classification" in errors()[0]
    assert site.api.get("/api/v2/dags/crooked_lifecycle", missing_ok=True) is None
    assert site.api.get("/api/v2/dags/tumours_lifecycle")["dag_id"] == "tumours_lifecycle"
    newcomer_spec = newcomer.SPEC.format(name="crooked", timeout_minutes=10, train="")
    (folder / "model.yaml").write_text(newcomer_spec)
    until(lambda: site.api.get("/api/v2/dags/crooked_lifecycle", missing_ok=True), 120, "the mended DAG", every_s=0.5)
    until(lambda: not errors(), 120, "the error is gone", every_s=0.5)
