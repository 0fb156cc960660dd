"""Whether a request may go on within its budgets."""

from hypothesis import given
from hypothesis import strategies as st

from include.budgets.rules import decide
from include.cost.month import Month
from include.gateway.budgets import Budget

MONTH = Month(2026, 12)
NOW = MONTH.begin + 3600
DEMO, SUPPORT = Budget("key", "demo", tokens=1000), Budget("model", "support", tokens=500)


def test_what_is_asked_is_granted_within_every_budget():
    assert decide([DEMO, SUPPORT], {}, {}, 10, 400, MONTH, NOW).granted == 400
    assert decide([DEMO, SUPPORT], {("model", "support"): 450}, {}, 10, 400, MONTH, NOW).granted == 50
    assert decide([Budget("team", "t", gpu_hours=1)], {}, {}, 10, 400, MONTH, NOW).granted == 400


def test_a_refusal_names_the_budget_what_is_used_and_when_it_begins_anew():
    verdict = decide([DEMO], {DEMO.of: 900}, {DEMO.of: 60}, 50, 400, MONTH, NOW)
    assert verdict.granted == 0
    assert "key demo is 1,000 tokens" in verdict.refused and "900 are used, 60 are reserved" in verdict.refused
    assert "up to 50" in verdict.refused and "2027-01-01" in verdict.refused
    assert verdict.again_s == 1, "requests under way will give something back"
    assert decide([DEMO], {DEMO.of: 960}, {}, 50, 400, MONTH, NOW).again_s == round(MONTH.end - NOW)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=30), st.integers(0, 2000))
def test_whatever_is_granted_together_is_never_more_than_the_budget(asked, budget):
    held: dict[tuple[str, str], int] = {}
    one = Budget("key", "demo", tokens=budget)
    for least, more in asked:
        verdict = decide([one], {}, held, least, least + more, MONTH, NOW)
        assert verdict.refused or least <= verdict.granted <= least + more
        held[one.of] = held.get(one.of, 0) + verdict.granted
    assert held.get(one.of, 0) <= budget
