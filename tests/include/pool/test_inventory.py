"""What reports do: devices come, fail and go; nodes fall silent; foreign memory is left alone; sharing is declared or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.pool.ask import Ask
from include.pool.errors import Conflict, Impossible
from include.pool.state import HOST_LABEL, Config, NodeReport, RequestState
from tests.include.pool.floor import Floor, gpus, process

CONFIG = Config(lease_ttl_s=1e9, waiting_ttl_s=1e9, node_silent_s=30, node_grace_s=120)


def test_a_silent_node_gets_nothing_new_and_loses_its_leases_after_a_grace():
    floor = Floor(CONFIG, a=2)
    running = floor.start("running", gpus=1)
    floor.at(30)
    late = floor.start("late", gpus=1)
    assert floor.running(running, late) == [True, False]
    assert late.reasons == ("Out of service: a.",)
    floor.at(119)
    assert running.state is RequestState.GRANTED
    floor.at(120)
    assert (running.state, running.note) == (RequestState.WAITING, "a has been silent for 120 s.")


def test_a_node_that_comes_back_in_time_keeps_its_leases_and_is_in_service_again():
    floor = Floor(CONFIG, a=2)
    running = floor.start("running", gpus=1)
    floor.at(60)
    floor.report("a")
    late = floor.start("late", gpus=1)
    assert floor.running(running, late) == [True, True]


@pytest.mark.parametrize("how", ["fails", "vanishes"])
def test_a_device_that_fails_while_leased_is_lost_at_once_and_its_holder_is_placed_anew(how: str):
    floor = Floor(a=2)
    request = floor.start("k", gpus=1)
    was = floor.grants(request)[0].uuids[0]
    left = [device for device in floor.devices["a"] if device.uuid != was]
    failed = [replace(device, failed="Xid 79") for device in floor.devices["a"] if device.uuid == was]
    lease = floor.lease(request)
    floor.devices["a"] = left + (failed if how == "fails" else [])
    floor.report("a")
    floor.at(1)
    assert lease.end == "lost"
    assert floor.grants(request)[0].uuids == (left[0].uuid,)


def test_a_late_report_and_anothers_node_are_refused():
    floor = Floor(a=1, b=1)
    with pytest.raises(Conflict, match="is reported by a"):
        floor.report("a", reporter="b")
    with pytest.raises(Conflict, match="It is dropped"):
        floor.pool.report(0, "a", "declared", 1, 0, [])


def test_an_agents_clock_moves_nothing_but_its_own_skew():
    floor = Floor(CONFIG, a=1)
    floor.pool.report(10, "a", "declared", 99, 10 - 86_400, [])
    assert floor.pool.nodes["a"].lost  # it no longer saw the node
    floor.pool.report(11, "a", "declared", 100, 11 + 86_400, [NodeReport("a", {}, tuple(gpus("a", 1)))])
    node = floor.pool.nodes["a"]
    assert (node.lost, node.reported_at, node.clock_skew_s) == (False, 11, 86_400)


def test_foreign_memory_is_never_offered():
    floor = Floor(a=gpus("a", 1, sharing="mps"), b=gpus("b", 1))
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=50_000, processes=(process(50_000),))]
    floor.devices["b"] = [replace(floor.devices["b"][0], used_mib=1_000, processes=(process(1_000),))]
    floor.report("a")
    floor.report("b")
    whole, much, some = floor.start("whole", gpus=1), floor.start("much", memory="40GiB"), floor.start("some", memory="20GiB")
    assert floor.running(whole, much, some) == [False, False, True]


def test_memory_that_no_process_explains_is_foreign_too():
    floor = Floor(a=gpus("a", 1))
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=4_000, reserved_mib=0)]
    floor.report("a")
    assert floor.start("k", gpus=1).state is RequestState.WAITING


def test_a_process_is_ours_only_while_its_lease_lives():
    floor = Floor(a=gpus("a", 1, sharing="mps"))
    request = floor.start("k", fraction=0.5)
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=30_000, processes=(process(30_000, floor.lease(request).id),))]
    floor.report("a")
    assert floor.pool.foreign_mib("a", "a-0") == 0
    floor.release(request)
    assert floor.pool.foreign_mib("a", "a-0") == 30_000


def test_a_share_goes_only_where_sharing_is_declared_and_memory_may_have_a_whole_gpu():
    floor = Floor(a=gpus("a", 1), b=gpus("b", 1, sharing="time-slice"))
    shares = [floor.start(f"s{number}", fraction=0.5) for number in range(3)]
    assert floor.running(*shares) == [True, True, False]
    memory = floor.start("memory", memory="10GiB")
    assert [(grant.node, grant.milli) for grant in floor.grants(memory)] == [("a", 1000)]


def test_mig_instances_go_to_their_profile_alone():
    floor = Floor(a=gpus("a", 2, memory_mib=9_856, mig="1g.10gb"), b=gpus("b", 1))
    first, second, third = (floor.start(f"m{number}", mig="1g.10gb") for number in range(3))
    assert floor.running(first, second, third) == [True, True, False]
    whole = floor.start("whole", gpus=1)
    assert floor.grants(whole)[0].node == "b"
    assert floor.grants(first)[0].model == "H100-80GB 1g.10gb"


def test_labels_and_models_are_kept_to():
    floor = Floor(a=1, b=gpus("b", 1, model="L4", memory_mib=23_034))
    floor.labels["a"] = {"zone": "x"}
    floor.report("a")
    assert floor.grants(floor.start("l", gpus=1, models=["L4"]))[0].node == "b"
    assert floor.grants(floor.start("z", gpus=1, labels={"zone": "x"}))[0].node == "a"


def test_a_cordoned_node_gets_nothing_new_and_keeps_what_runs():
    floor = Floor(a=2)
    running = floor.start("running", gpus=1)
    floor.pool.cordon(0, "a", "new driver", "admin")
    late = floor.start("late", gpus=1)
    assert floor.running(running, late) == [True, False]
    floor.pool.uncordon(1, "a", "admin")
    floor.at(1)
    assert late.state is RequestState.GRANTED


def test_a_removed_nodes_leases_are_lost():
    floor = Floor(a=1, b=1)
    request = floor.start("k", gpus=1)
    first = floor.grants(request)[0].node
    floor.pool.remove_node(1, first, "admin")
    floor.at(1)
    assert floor.grants(request)[0].node != first


def test_a_gang_has_distinct_nodes_or_nothing():
    floor = Floor(a=2, b=2)
    gang = floor.start("gang", gpus=2, nodes=2)
    assert [grant.node for grant in floor.grants(gang)] == ["a", "b"]
    floor = Floor(a=4, b=1)
    floor.start("one", gpus=1, labels={}, preemptible=False)
    assert floor.pool.what_if(0, Ask(gpus=1, nodes=2)).possible_now == (floor.pool.free_milli("b", "b-0") == 1000)


def test_what_if_says_where_who_would_stop_and_when_and_changes_nothing():
    floor = Floor(a=2)
    low = floor.start("low", gpus=2, priority=2, duration_s=500)
    before = floor.lease(low).id
    floor.pool.take_changes()
    answer = floor.pool.what_if(1, Ask(gpus=1, priority=9))
    assert (answer.possible_now, answer.preempts, answer.starts_at) == (False, (before,), 500)
    assert floor.pool.what_if(1, Ask(gpus=3)).impossible
    assert not floor.pool.take_changes() and floor.lease(low).notice is None
    floor.release(low)
    assert floor.pool.what_if(1, Ask(gpus=2)).grants[0].uuids == ("a-0", "a-1")


def test_each_policy_places():
    for policy in ("updraft", "pack", "spread"):
        floor = Floor(replace(CONFIG, policy=policy), a=gpus("a", 2, sharing="mps"), b=gpus("b", 2, sharing="mps"))
        nodes = {floor.grants(floor.start(f"k{number}", fraction=0.25))[0].node for number in range(4)}
        assert len(nodes) == (2 if policy == "spread" else 1), policy


def test_a_gpu_that_two_reporters_tell_of_is_leased_once():
    floor = Floor(a=1)
    floor.report("a", source="nvml")
    first = floor.start("first", gpus=1)
    floor.devices["cluster/a"] = gpus("a", 1)
    for _ in range(2):
        floor.report("cluster/a", source="kubernetes")
        floor.report("a", source="nvml")
    second = floor.start("second", gpus=1)
    assert floor.running(first, second) == [True, False]
    (twice,) = floor.pool.nodes["cluster/a"].devices
    assert twice.failed == "a reports it too, as a GPU of a: stop one of the two"


def test_a_machine_that_two_reporters_count_is_known_by_its_host_name():
    floor = Floor(a=2)
    floor.labels = {"a": {HOST_LABEL: "box"}, "cluster/box": {HOST_LABEL: "box"}}
    floor.report("a", source="nvml")
    floor.devices["cluster/box"] = gpus("k8s/box/gpu", 2)
    floor.report("cluster/box", source="kubernetes")
    asked = [floor.start(f"k{number}", gpus=1) for number in range(3)]
    assert floor.running(*asked) == [True, True, False]


def test_the_second_reporter_is_believed_once_the_first_is_gone():
    floor = Floor(CONFIG, a=1)
    floor.report("a", source="nvml")
    floor.devices["cluster/a"] = gpus("a", 1)
    floor.report("cluster/a", source="kubernetes")
    floor.at(30)
    floor.report("cluster/a", source="kubernetes")
    (device,) = floor.pool.nodes["cluster/a"].devices
    assert not device.failed


def test_a_share_that_takes_more_than_its_grant_is_told_and_less_is_offered():
    floor = Floor(a=gpus("a", 1, sharing="mps"))
    tenth = floor.start("tenth", fraction=0.1)
    lease = floor.lease(tenth).id
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=70 * 1024, processes=(process(70 * 1024, lease),))]
    floor.report("a")
    assert floor.pool.overused_mib("a", "a-0") == {lease: 62 * 1024}
    half = floor.start("half", fraction=0.5)
    assert floor.running(tenth, half) == [True, False]
    assert floor.pool.free_milli("a", "a-0") == 125


def test_a_holders_memory_that_is_not_told_is_not_taken_for_a_strangers():
    floor = Floor(a=gpus("a", 1, sharing="mps"))
    half = floor.start("half", fraction=0.5)
    told = process(None, floor.lease(half).id)
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=30 * 1024, processes=(told,))]
    floor.report("a")
    assert (floor.pool.foreign_mib("a", "a-0"), floor.pool.free_milli("a", "a-0")) == (0, 500)


def test_a_gpu_of_unknown_memory_is_given_out_whole_and_never_by_memory():
    floor = Floor(a=[replace(gpus("a", 1)[0], memory_mib=0, unknown=("memory",))])
    with pytest.raises(Impossible, match=r"isn't known\. The nearest possible: 1 GPU"):
        floor.ask("memory", memory="1GiB")
    assert floor.running(floor.start("whole", gpus=1)) == [True]
