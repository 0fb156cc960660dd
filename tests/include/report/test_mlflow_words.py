"""What MLflow's pages say of a run."""

from dataclasses import replace

from include.report.mlflow_words import mlflow_words
from tests.include.report import runs


def test_a_run_is_named_by_its_version_and_outcome_and_says_where_production_is_changed() -> None:
    data = replace(runs.rolled_back(), began="Begun by anna.")
    found = mlflow_words(data, "http://airflow/lifecycle/report/1", "http://airflow/dags/digits_lifecycle/runs/1")
    assert found.name == f"digits v{data.version} · ROLLED BACK"
    assert found.note.startswith("**ROLLED BACK**: ") and all(f"- {reason}" in found.note for reason in data.reasons)
    assert "Begun by anna." in found.note and "Begun by anna." in found.version
    for text in (found.note, found.version):
        assert "(http://airflow/lifecycle/report/1)" in text and "(http://airflow/dags/digits_lifecycle/runs/1)" in text
    for text in (found.version, found.model):
        assert "Production is changed in Airflow, not here" in text and "make rollback MODEL=digits" in text


def test_a_run_without_a_version_is_named_by_its_model() -> None:
    assert mlflow_words(runs.failed_at_gate(), "r", "a").name == "digits · FAILED AT GATE"


def test_a_senders_words_are_no_markdown() -> None:
    data = replace(runs.rolled_back(), began="Begun because of new data: w says: ![x](https://elsewhere/p.png) <b>")
    note = mlflow_words(data, "http://report", "http://run").note
    assert r"\!\[x\](https://elsewhere/p.png) \<b\>" in note
