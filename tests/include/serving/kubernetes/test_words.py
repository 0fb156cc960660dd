"""A revision's Deployment and pods in a sentence, out of what an API server has said."""

from typing import Any

import pytest

from include.errors import ComponentError, InputError
from include.serving.kubernetes import words


def deployment(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {"observedGeneration": 2, **status}}


def pod(state: dict[str, Any], last: dict[str, Any] | None = None, *, ready: bool = False, **status: Any) -> dict[str, Any]:
    container = {"state": state, "lastState": {"terminated": last} if last else {}, "restartCount": int(bool(last))}
    conditions = [{"type": "Ready", "status": str(ready)}, {"type": "PodScheduled", "status": "True"}]
    return {
        "metadata": {"name": "a-1", "uid": "u", "labels": {}},
        "spec": {"nodeName": "n", "containers": [{"image": "example.org/triton:1", "resources": {"limits": {"memory": "2Gi"}}}]},
        "status": {"phase": "Pending", "conditions": conditions, "containerStatuses": [container], **status},
    }


@pytest.mark.parametrize(
    ("status", "there"),
    [
        ({"availableReplicas": 1, "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}, True),
        ({"availableReplicas": 1, "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]}, False),
        ({"conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}, False),
        ({"availableReplicas": 1, "observedGeneration": 1}, False),
    ],
)
def test_a_rollout_is_over_once_a_server_of_the_newest_form_is_there(status, there):
    assert words.rolled_out(deployment(**status)) is there


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (pod({"waiting": {"reason": "CrashLoopBackOff"}}, {"reason": "OOMKilled", "exitCode": 137}), r"servers\.memory: .*limit of 2Gi"),
        (pod({"terminated": {"reason": "StartError", "message": "no such file"}}), "can't be started: no such file"),
        (pod({"waiting": {"reason": "ErrImageNeverPull"}}), r"extra: servers\.image: the image example.org/triton:1 is not on the node n"),
        (pod({"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}), r"extra: servers\.image: .*manifest unknown"),
    ],
)
def test_what_no_waiting_will_mend_is_the_users_to_mend(one, says):
    found = words.in_vain(deployment(), [one], {}, patient=True)
    assert isinstance(found, InputError)
    with pytest.raises(InputError, match=says):
        raise found


def test_a_registry_that_is_away_is_waited_for_a_while():
    one = pod({"waiting": {"reason": "ImagePullBackOff", "message": "dial tcp: connection refused"}})
    assert words.in_vain(deployment(), [one], {}, patient=True) is None
    assert isinstance(words.in_vain(deployment(), [one], {}, patient=False), ComponentError)


def test_a_server_that_has_come_back_is_not_held_its_past_against_it():
    one = pod({"running": {}}, {"reason": "OOMKilled", "exitCode": 137}, ready=True, phase="Running")
    assert words.in_vain(deployment(), [one], {}, patient=True) is None and not words.died([one])
    assert words.waiting([one], {}) == ""


def test_a_server_that_ended_is_told_with_its_status():
    one = pod({"waiting": {"reason": "CrashLoopBackOff"}}, {"reason": "Error", "exitCode": 3})
    assert words.died([one]) and words.waiting([one], {}) == "The server ended with 3 (Error)."
    assert words.restarts(one) == 1 and not words.stuck([one]) and not words.over(one)


def test_a_server_that_loads_its_model_is_no_lost_one():
    assert words.waiting([pod({"running": {}}, phase="Running")], {}) == ""


def test_a_pod_that_may_not_be_made_is_told_with_the_clusters_words():
    refused = {"type": "ReplicaFailure", "status": "True", "message": 'pods "a" is forbidden: exceeded quota: q'}
    found = words.in_vain(deployment(conditions=[refused]), [], {}, patient=True)
    assert isinstance(found, InputError) and "exceeded quota: q" in str(found)
