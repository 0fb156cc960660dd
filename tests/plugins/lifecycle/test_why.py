"""What a task that waits says of it, and that nobody is asked who needn't be."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from lifecycle.api.runs import waits_for_gpu, why
from lifecycle.operators.approval import Approve


def test_a_task_that_waits_for_a_gpu_says_why_and_until_when() -> None:
    gpu = waits_for_gpu(["It needs 8 GiB of a GPU; the most free on one GPU now is 2 GiB, on rack."], 1_800_000_000.0)
    assert why("train", "deferred", "updraft_steps", gpu) == (
        "waits for a GPU: It needs 8 GiB of a GPU; the most free on one GPU now is 2 GiB, on rack. Expected start: 2027-01-15 08:00 UTC."
    )
    assert waits_for_gpu([], None) == "waits for a GPU: the pool looks for a place."
    assert why("train", "deferred", "updraft_steps").startswith("waits for a GPU")
    assert why("canary", "deferred", "updraft_steps") == "is on trial, without holding a worker"


def test_an_approval_that_nobody_wants_is_skipped() -> None:
    with pytest.raises(AirflowSkipException):
        Approve(task_id="approve").execute({"params": {"approval": False}})
