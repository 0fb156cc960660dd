"""The DAGs as Airflow sees them."""

import itertools

import pytest

from include.backup.plan import Plan, save
from tests.journey import newcomer, talker

BAG = """
import json
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder={dags!r}, bundle_path=Path({dags!r}), bundle_name="updraft")
def task(task):
    return dict(upstream=sorted(task.upstream_task_ids), retries=task.retries, rule=str(task.trigger_rule), teardown=task.is_teardown,
                pool=task.pool, expo=task.retry_exponential_backoff, weight=task.priority_weight, at_once=task.max_active_tis_per_dagrun)
def param(param):
    return dict(schema=param.schema, default=param.value, description=param.description)
print(json.dumps(dict(errors=bag.import_errors, dags={{dag.dag_id: dict(
    schedule=dag.schedule, runs=dag.max_active_runs, catchup=dag.catchup, tags=sorted(dag.tags), owner=dag.owner,
    params={{name: param(dag.params.get_param(name)) for name in dag.params}}, tasks={{t.task_id: task(t) for t in dag.tasks}},
) for dag in bag.dags.values()}}), default=str))
"""
ASKING = "label: {rows: snapshot, classes: [a, b], schedule: '@weekly', reconcile: '@daily'}"
DAILY = "monitor: {log: {share: 1}, schedule: '@daily'}"


@pytest.fixture(scope="module")
def found(parsing):
    """All that Airflow finds, at one go: the two shipped models and those that the tests below write, one of them broken."""
    written = {name: newcomer.write(parsing.models, name) / "model.yaml" for name in ("table", "nightly", "bad", "searching", "asking")}
    for name in ("chatty", "unloaded", "judged"):
        talker.write(parsing.models, name)
        written[name] = parsing.models / name / "model.yaml"
    talker.judged(parsing.models / "judged", "model: other")
    for name, before, after in (
        ("nightly", "task: classification", "task: classification\nschedule: '15 2 * * *'\nowner: night shift\n" + DAILY),
        ("table", "task: classification", "task: classification\nmonitor: {log: {share: 0.5}}"),
        ("bad", "task: classification", "task: clasification"),
        ("searching", "train:\n", "train:\n  search: {params: {strength: {low: 0.01, high: 10, log: true}}, parallel: 3}\n"),
        ("asking", "task: classification", f"task: classification\n{ASKING}"),
        ("unloaded", "rates: [1, 2]", "rates: []"),
    ):
        spec = written[name].read_text()
        assert before in spec
        written[name].write_text(spec.replace(before, after))
    save(parsing.settings.home / "backup", Plan("/mnt/elsewhere", "0 4 * * *"))
    return parsing.ask(BAG.format(dags=str(parsing.settings.repo / "dags")))


@pytest.fixture(scope="module")
def digits(found):
    return found["dags"]["digits_lifecycle"]


def test_every_model_has_its_three_dags_and_a_broken_one_none(found):
    tables, chats = ("asking", "diabetes", "digits", "nightly", "searching", "table"), ("chatty", "judged", "unloaded")
    batches = {f"{name}_batch" for name in tables + chats}
    looks = {"nightly_monitoring", "table_monitoring"}
    ours = {f"{name}_{dag}" for name in tables + chats for dag in ("lifecycle", "rollback")} | batches | looks
    assert found["dags"].keys() == ours | {"asking_labelling", "asking_labels"} | {"updraft_backup", "serving_reconcile"}


def test_the_platforms_own_backup_goes_by_its_plan_and_takes_no_word_of_whoever_triggers_it(found):
    backup = found["dags"]["updraft_backup"]
    assert (backup["schedule"], backup["params"]) == ("0 4 * * *", {})
    assert {name: task["upstream"] for name, task in backup["tasks"].items()} == {"take": [], "prove": ["take"], "prune": ["prove"]}


def test_a_round_of_labelling_and_the_second_look_at_labels(found):
    line = ["choose", "import", "wait", "export", "validate", "snapshot", "lifecycle"]
    for name, schedule, tasks in (("asking_labelling", "@weekly", line), ("asking_labels", "@daily", line[3:])):
        dag = found["dags"][name]
        assert dag["schedule"] == schedule and set(dag["tasks"]) - {"pays"} == set(tasks)
        assert [dag["tasks"][task]["upstream"] for task in tasks] == [[], *([task] for task in tasks[:-1])]
    assert list(found["dags"]["asking_labelling"]["params"]) == ["tasks"]
    assert found["dags"]["asking_labelling"]["tasks"]["pays"]["upstream"] == ["snapshot"]


def test_a_broken_spec_breaks_its_own_dags_only(found):
    assert found["errors"] == {}
    assert {"digits_lifecycle", "nightly_lifecycle"} <= found["dags"].keys() and "bad_lifecycle" not in found["dags"]


def test_one_run_of_a_model_at_a_time(found):
    assert {dag["runs"] for dag in found["dags"].values()} == {1}
    assert not any(dag["catchup"] for dag in found["dags"].values())


def test_the_way_of_a_run(digits):
    line = [
        *("validate_data", "snapshot_data", "train", "evaluate", "gate", "approve"),
        *("optimize", "verify", "register", "deploy", "canary"),
    ]
    for before, task in itertools.pairwise(line):
        assert digits["tasks"][task]["upstream"] == [before]
    assert digits["tasks"]["optimize"]["rule"].lower().endswith("none_failed"), "it goes on behind an approval that is skipped"
    assert digits["tasks"]["hold"]["upstream"] == ["canary"]
    for end in ("promote", "rollback"):
        assert digits["tasks"][end]["upstream"] == ["canary", "hold"]
    assert set(digits["tasks"]) == {*line, "hold", "promote", "rollback", "settle", "report"}


def test_a_search_stands_before_the_training_and_gives_way_to_others(found, digits):
    tasks = found["dags"]["searching_lifecycle"]["tasks"]
    assert tasks["search_plan"]["upstream"] == ["snapshot_data"] and tasks["search_trial"]["upstream"] == ["search_plan"]
    assert tasks["search"]["upstream"] == ["search_trial"] and tasks["train"]["upstream"] == ["search"]
    assert tasks["search"]["rule"].lower().endswith("all_done"), "a trial that failed is no reason to stop"
    assert {tasks[name]["pool"] for name in ("search_trial", "search")} == {"updraft_steps"}
    assert (tasks["search_trial"]["weight"], tasks["search_trial"]["at_once"]) == (1, 3)
    assert not any(name.startswith("search") for name in digits["tasks"])


def test_a_language_model_has_a_base_and_a_load_test(found):
    chatty, unloaded = (found["dags"][f"{name}_lifecycle"]["tasks"] for name in ("chatty", "unloaded"))
    assert chatty["validate_data"]["upstream"] == ["base"]
    assert chatty["load_test"]["upstream"] == ["deploy"] and chatty["canary"]["upstream"] == ["load_test"]
    assert chatty["load_test"]["pool"] == "default_pool", "the revision waits for no other model's training"
    assert "load_test" not in unloaded and unloaded["canary"]["upstream"] == ["deploy"]


def test_a_judge_stands_between_evaluation_and_gate(found):
    tasks = found["dags"]["judged_lifecycle"]["tasks"]
    assert tasks["judge"]["upstream"] == ["evaluate"] and tasks["gate"]["upstream"] == ["judge"]
    assert tasks["judge"]["retries"] == 4
    assert "judge" not in found["dags"]["chatty_lifecycle"]["tasks"]


@pytest.mark.parametrize(("name", "own"), [("chatty", "max_tokens"), ("digits", "input")])
def test_a_model_has_a_batch_dag(found, name, own):
    dag = found["dags"][f"{name}_batch"]
    assert own in dag["params"] and ("max_tokens" in dag["params"]) == (name == "chatty")
    assert (dag["schedule"], dag["runs"]) == (None, 1)
    assert {name: task["upstream"] for name, task in dag["tasks"].items()} == {"prepare": [], "answer": ["prepare"], "collect": ["answer"]}
    assert {task["retries"] for task in dag["tasks"].values()} == {4}
    assert dag["params"]["input"]["default"] == "snapshot" and all(param["description"] for param in dag["params"].values())


def test_what_runs_last_runs_whatever_happened(digits):
    assert {name for name, task in digits["tasks"].items() if task["teardown"]} == {"settle", "report"}


def test_every_task_that_works_is_tried_again(digits):
    assert {task["retries"] for task in digits["tasks"].values()} == {4}
    assert all(task["expo"] for task in digits["tasks"].values())


def test_steps_share_a_pool(digits):
    pooled = {name for name, task in digits["tasks"].items() if task["pool"] == "updraft_steps"}
    assert pooled == {"validate_data", "train", "evaluate", "optimize", "verify"}


def test_params_are_typed_explained_and_have_the_specs_defaults(digits):
    units = digits["params"]["hidden_units"]
    assert units["default"] == 64
    assert units["schema"]["type"] == "integer" and units["schema"]["minimum"] == 1 and units["schema"]["maximum"] == 1024
    assert units["description"] == "Width of the hidden layer."
    assert digits["params"]["canary_steps"]["default"] == [10, 25, 50]
    assert digits["params"]["approval"] == digits["params"]["approval"] | {"default": False}
    assert all(param["schema"].get("title") for param in digits["params"].values())
    unexplained = [name for name, param in digits["params"].items() if not param["description"]]
    assert unexplained == []


def test_models_do_not_share_their_hyperparameters(found):
    assert "alpha" in found["dags"]["diabetes_lifecycle"]["params"]
    assert "alpha" not in found["dags"]["digits_lifecycle"]["params"]


def test_rollback_takes_a_version_or_none(found):
    version = found["dags"]["digits_rollback"]["params"]["version"]
    assert version["default"] is None
    assert version["schema"]["type"] == ["null", "integer"] and version["schema"]["minimum"] == 1


def test_a_schedule_of_the_spec_is_the_dags(found):
    dag = found["dags"]["nightly_lifecycle"]
    assert dag["schedule"] == "15 2 * * *" and dag["owner"] == "night shift"


def test_a_model_whose_requests_are_logged_is_looked_at_every_hour_or_as_its_spec_says(found):
    assert {name: found["dags"][f"{name}_monitoring"]["schedule"] for name in ("table", "nightly")} == {
        "table": "@hourly",
        "nightly": "@daily",
    }
    assert list(found["dags"]["table_monitoring"]["tasks"]) == ["look"]


HEAVY = ("mlflow", "great_expectations", "evidently", "torch", "pandas", "sklearn", "onnxruntime", "dvc", "scipy", "numpy", "tritonclient")

IMPORTS = """
import json, sys
before = set(sys.modules)
import lifecycle_plugin, runpy
for name in ("lifecycle", "rollback", "batch", "monitoring"):
    runpy.run_path({dags!r} + "/" + name + ".py")
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def test_parsing_imports_no_heavy_library(parsing):
    loaded = parsing.ask(IMPORTS.format(dags=str(parsing.settings.repo / "dags")))
    assert "lifecycle" in loaded
    assert not set(HEAVY) & set(loaded)
