"""A budget of GPU-hours holds back what would begin, and nothing else."""

from include.cost.gpu_budget import hours_of, used_up, why_not
from include.cost.gpu_use import HOUR_S, GpuUse
from include.cost.month import Month
from include.gateway.budgets import Budget
from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Device, NodeReport

MONTH = Month(2026, 12)
TEAM, MODEL = Budget("team", "vision", gpu_hours=10), Budget("model", "digits", gpu_hours=3)


def use(hours, key="digits_lifecycle/r/train/-1", team="vision"):
    return GpuUse("a", 0, key, "updraft", team, "H100-80GB", 1.0, False, False, MONTH.begin, MONTH.begin + hours * HOUR_S)


def test_hours_count_for_team_and_model_in_their_month():
    found = hours_of([use(2), use(3, "notebook"), use(4, team="text")], MONTH, MONTH.end)
    assert found == {("team", "vision"): 5, ("model", "digits"): 6, ("team", "text"): 4}
    assert set(hours_of([use(2)], MONTH.next, MONTH.next.end).values()) == {0}


def test_who_has_used_it_up_begins_nothing_new_but_production_goes_on():
    found = used_up([TEAM, MODEL], {TEAM.of: 10.0, MODEL.of: 2.9}, MONTH)
    assert list(found) == [TEAM.of] and "10 GPU-hours a month" in found[TEAM.of] and "2027-01-01" in found[TEAM.of]
    assert why_not(found, "digits_lifecycle/r/train/-1", "vision", service=True)
    assert not why_not(found, "digits_lifecycle/r/train/-1", "text", service=True)
    assert not why_not(found, "revision/digits/2", "vision", service=True)
    assert why_not(found, "revision/digits/2", "vision", service=False), "a name that anybody may choose opens nothing"


def test_the_pool_says_why_it_waits_and_goes_on_when_it_may():
    stop = {"text": "The budget is used up."}
    pool = Pool(why_not=lambda request: stop.get(request.ask.team, ""))
    devices = tuple(Device(f"g{number}", number, "H100-80GB", 81920) for number in range(2))
    pool.report(0.0, "n", "nvml", 1, 0.0, [NodeReport("n", {}, devices)])
    held = pool.submit(0.0, "a", "olaf", Ask(gpus=1, team="text"))
    other = pool.submit(0.0, "b", "olaf", Ask(gpus=1))
    pool.tick(0.0)
    assert (held.state, held.reasons, other.state) == ("WAITING", ("The budget is used up.",), "GRANTED")
    assert pool.what_if(0.0, Ask(gpus=1, team="text"), "olaf").reasons == ("The budget is used up.",)
    stop.clear()
    pool.look_again()
    pool.tick(1.0)
    assert held.state == "GRANTED"


def test_what_runs_goes_on_when_the_budget_is_used_up():
    stop: dict[str, str] = {}
    pool = Pool(why_not=lambda request: stop.get(request.ask.team, ""))
    pool.report(0.0, "n", "nvml", 1, 0.0, [NodeReport("n", {}, (Device("g", 0, "H100-80GB", 81920),))])
    running = pool.submit(0.0, "a", "olaf", Ask(gpus=1))
    pool.tick(0.0)
    stop["default"] = "The budget is used up."
    pool.look_again()
    pool.tick(1.0)
    assert running.state == "GRANTED" and pool.leases[running.lease_id].notice is None
