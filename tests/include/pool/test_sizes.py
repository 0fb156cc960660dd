"""What work has used of what it asked for, as its nodes' agents saw it, and what it is told to ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.pool.sizes import Used, sizes, work_of
from include.pool.state import Lease, Request
from tests.include.pool.floor import Floor, gpus, process


@pytest.mark.parametrize(
    ("key", "work"),
    [
        ("digits_lifecycle/manual__2026-12-01T00:00:00+00:00/train/-1", "digits_lifecycle/train"),
        ("digits_lifecycle/scheduled__1/train/3", "digits_lifecycle/train"),
        ("revision/digits/7", "revision/digits"),
        ("notebook", "notebook"),
    ],
)
def test_work_is_the_same_in_every_run(key: str, work: str) -> None:
    assert work_of(key) == work


def used(floor: Floor, request: Request, *mib: int | None, foreign: int = 0) -> None:
    """The request's processes have been seen to use so much."""
    (node,) = floor.devices
    device, lease = floor.devices[node][0], floor.lease(request).id
    held = tuple(process(one, lease) for one in mib)
    floor.devices[node] = [replace(device, processes=held, used_mib=sum(one or 0 for one in mib) + foreign), *floor.devices[node][1:]]
    floor.now += 60
    floor.report(node, source="nvml")


def ended(floor: Floor, request: Request) -> tuple[Lease, Request | None]:
    """The request's lease, which has ended, and nothing of it is left on the device."""
    lease = floor.lease(request)
    used(floor, request)
    floor.release(request)
    return lease, request


def ran(floor: Floor, peaks: list[int], **ask: object) -> list[Used]:
    """One work's leases, one behind the other, each of which used so much."""
    found: list[tuple[Lease, Request | None]] = []
    for number, peak in enumerate(peaks):
        request = floor.start(f"d/r{number}/train/-1", **ask)
        used(floor, request, peak)
        found.append(ended(floor, request))
    return sizes(found)


def test_a_whole_gpu_of_which_an_eighth_was_used_is_told_what_would_do() -> None:
    (row,) = ran(Floor(a=gpus("a", 1, sharing="mps")), [9_000, 10_000, 9_500], gpus=1)
    assert (row.work, row.leases, row.granted_mib, row.peak_mib, row.proposed_mib) == ("d/train", 3, 81_920, 10_000, 12 * 1024)
    assert row.proposal == "It could ask for `memory: 12GiB`."


def test_a_share_that_is_nearly_full_is_told_to_ask_for_more() -> None:
    (row,) = ran(Floor(a=gpus("a", 1, sharing="mps")), [19_900] * 3, memory="20GiB")
    assert row.proposed_mib == 23 * 1024 and "close to its part" in row.proposal


def test_what_fits_is_left_alone_and_few_leases_say_nothing() -> None:
    (fits,) = ran(Floor(a=1), [70_000] * 3, gpus=1)
    (few,) = ran(Floor(a=1), [1_000] * 2, gpus=1)
    assert fits.proposed_mib is None and few.proposed_mib is None
    assert "2 of 3" in few.proposal


def test_leases_of_an_earlier_size_say_nothing_of_the_present_one() -> None:
    floor = Floor(a=gpus("a", 1, sharing="mps"))
    whole = floor.start("d/r0/train/-1", gpus=1)
    used(floor, whole, 70_000)
    before = ended(floor, whole)
    part = floor.start("d/r1/train/-1", memory="20GiB")
    used(floor, part, 8_000)
    (row,) = sizes([before, (floor.lease(part), part)])
    assert (row.leases, row.peak_mib) == (1, 8_000)


def test_the_peak_is_kept_when_less_is_used_later() -> None:
    floor = Floor(a=1)
    request = floor.start("one", gpus=1)
    for mib in (5_000, 30_000, 2_000):
        used(floor, request, mib)
    assert floor.lease(request).peak_mib == 30_000


def test_of_a_whole_gpu_whose_processes_tell_nothing_the_device_itself_tells() -> None:
    floor = Floor(a=1)
    request = floor.start("one", gpus=1)
    used(floor, request, None, foreign=12_000)
    assert floor.lease(request).peak_mib == 12_000


def test_of_a_share_whose_processes_tell_nothing_nothing_is_known() -> None:
    floor = Floor(a=gpus("a", 1, sharing="mps"))
    request = floor.start("one", fraction=0.5)
    used(floor, request, None, foreign=12_000)
    assert floor.lease(request).peak_mib is None and sizes([(floor.lease(request), request)]) == []


def test_what_the_last_holder_left_behind_is_not_the_next_ones() -> None:
    floor = Floor(a=1)
    request = floor.start("one", gpus=1)
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=60_000)]
    floor.now += 5
    floor.report("a", source="nvml")
    assert floor.lease(request).peak_mib is None


def test_simulated_gpus_tell_of_nothing() -> None:
    floor = Floor(a=1)
    request = floor.start("one", gpus=1)
    floor.devices["a"] = [replace(floor.devices["a"][0], used_mib=60_000)]
    floor.now += 60
    floor.report("a")
    assert floor.lease(request).peak_mib is None
