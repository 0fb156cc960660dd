"""The count of budgets, killed and opened again at any moment."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.budgets.ledger import LOST_S, Hold, Ledger, used
from include.cost.month import Month
from include.errors import ComponentError
from include.gateway.budgets import Budget
from include.gateway.metering import Usage
from include.gateway.observe import Cursor, Entry

MONTH = Month(2026, 12)
NOW = MONTH.begin + 3600
DEMO = Budget("key", "demo", tokens=1000)


def hold(id="a", tokens=400, **more):
    return Hold(**{"id": id, "at": NOW, "month": str(MONTH), "client": "demo", "model": "support", "team": "", "tokens": tokens} | more)


def entry(hold="a", prompt=10, completion=20, status=200, served_by="1", **more):
    fields = {"time_s": NOW, "kind": "live", "model": "support", "revision": "1", "client": "demo", "path": "/v1/chat/completions"}
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "status": status, "served_by": served_by, "hold": hold}
    return Entry(**fields | {"flags": frozenset(), "attempts": 1, "upstream_us": 1} | told | more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "budgets" / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    found = Ledger(path)
    yield found
    found.close()


def place(number):
    return Cursor(1, number)


def test_what_is_reserved_is_settled_by_what_the_answer_told(ledger, path):
    assert ledger.reserve(hold(), 400, [DEMO], NOW).granted == 400
    assert ledger.held[DEMO.of] == 400 and ledger.spent(str(MONTH))[DEMO.of] == 0
    ledger.settle([entry()], place(1), {}, NOW)
    ledger.commit()
    assert ledger.held[DEMO.of] == 0 and ledger.spent(str(MONTH)) == {("key", "demo"): 30, ("model", "support"): 30}
    assert used(path, str(MONTH))[0] == ledger.spent(str(MONTH))


def test_tokens_that_another_model_has_answered_under_the_name_are_counted_without_a_reservation_too(ledger):
    ledger.settle([entry(hold=None, kind="fallback", revision=None)], place(1), {}, NOW)
    assert ledger.spent(str(MONTH)) == {("key", "demo"): 30, ("model", "support"): 30}


@pytest.mark.parametrize(
    ("finished", "tokens"),
    [
        (entry(prompt=None, completion=None), 400),
        (entry(prompt=None, completion=None, status=503), 0),
        (entry(prompt=None, completion=None, served_by=None), 0),
        (entry(prompt=700, completion=20), 720),
    ],
)
def test_an_answer_that_told_no_tokens_counts_as_reserved_and_one_that_nobody_gave_as_nothing(ledger, finished, tokens):
    ledger.reserve(hold(), 400, [DEMO], NOW)
    ledger.settle([finished], place(1), {}, NOW)
    assert (ledger.spent(str(MONTH))[DEMO.of], ledger.held[DEMO.of]) == (tokens, 0)


def test_what_was_asked_without_a_budget_counts_from_the_months_begin(ledger):
    ledger.begin_with([Usage("2026-12-01", "demo", "support", 1, 5, 6)], place(7), {"demo": "text"})
    ledger.settle([entry(hold="")], place(8), {"demo": "text"}, NOW)
    assert ledger.spent(str(MONTH)) == {("key", "demo"): 41, ("model", "support"): 41, ("team", "text"): 41}
    ledger.begin_with([Usage("2026-12-01", "demo", "support", 1, 500, 600)], place(7), {})
    assert ledger.spent(str(MONTH))[DEMO.of] == 41, "only once"


def test_a_request_that_was_logged_before_its_reservation_came_is_not_reserved_for(ledger):
    ledger.settle([entry("late", status=0, served_by=None)], place(1), {}, NOW)
    assert ledger.reserve(hold("late"), 1, [DEMO], NOW).refused and not ledger.held[DEMO.of]


def test_what_nothing_is_heard_of_counts_whole_and_only_once(ledger):
    ledger.reserve(hold(), 400, [DEMO], NOW)
    assert ledger.lose(NOW + LOST_S - 1) == []
    assert [one.id for one in ledger.lose(NOW + LOST_S + 1)] == ["a"]
    assert (ledger.spent(str(MONTH))[DEMO.of], ledger.held[DEMO.of]) == (400, 0)
    ledger.settle([entry()], place(1), {}, NOW)
    assert ledger.spent(str(MONTH))[DEMO.of] == 400 and not ledger.holds


def test_a_file_that_is_no_count_is_named(tmp_path):
    (tmp_path / "l.sqlite").write_text("no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(ComponentError, match=r"l\.sqlite"):
        Ledger(tmp_path / "l.sqlite")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "end", "hang up", "kill"]), st.integers(0, 300)), max_size=25))
def test_nothing_is_overspent_and_nothing_forgotten_whatever_is_killed(tmp_path_factory, moves):
    """Answers use no more than they had reserved; the process is killed between any two of its commits."""
    path = tmp_path_factory.mktemp("ledger") / "l.sqlite"
    ledger, under_way, really = Ledger(path), {}, 0
    for number, (move, size) in enumerate(moves, 1):
        if move == "ask":
            verdict = ledger.reserve(hold(str(number), size), min(size, 50), [DEMO], NOW)
            ledger.commit()
            if not verdict.refused:
                under_way[str(number)] = verdict.granted
        elif move == "kill":
            copy = path.with_name(f"{number}.sqlite")
            ledger.close()
            shutil.copy(path, copy)
            path, ledger = copy, Ledger(copy)
        elif under_way:
            id, granted = under_way.popitem()
            told = min(size, granted)
            finished = entry(id, told, 0) if move == "end" else entry(id, None, None)
            really += told if move == "end" else granted
            ledger.settle([finished], place(number), {}, NOW)
            ledger.commit()
        assert ledger.spent(str(MONTH))[DEMO.of] == really <= DEMO.tokens
        assert ledger.held[DEMO.of] == sum(under_way.values())
        assert really + sum(under_way.values()) <= DEMO.tokens
    ledger.close()
    shutil.rmtree(path.parent)
