"""Who ended a trial by hand, and why, out of Airflow's audit log."""

import pytest

from lifecycle.by_hand import latest_act

RUN_FAILED = {"event": "patch_dag_run", "task_id": None, "owner": "bob", "extra": {"state": "failed"}}
CLEARED = {"event": "post_clear_task_instances", "task_id": None, "owner": None, "extra": "[]"}
FAILED = {"event": "patch_task_instance", "task_id": "canary", "owner": "ada", "extra": '{"new_state": "failed", "note": "Too slow."}'}


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([], None),
        ([{"event": "trigger_dag_run", "task_id": None, "owner": "bob", "extra": None}], None),
        ([FAILED], ("ada", "the task canary was set to failed. Too slow.")),
        ([FAILED | {"task_id": "train"}], None),
        ([FAILED | {"extra": "broken {"}], ("ada", "the task canary was set to another state.")),
        ([RUN_FAILED, FAILED], ("bob", "the run was set to failed.")),
        ([CLEARED], ("an unknown person", "the task canary was cleared.")),
    ],
)
def test_the_latest_act_on_the_task_or_its_run(events, found):
    assert latest_act(events, "canary") == found
