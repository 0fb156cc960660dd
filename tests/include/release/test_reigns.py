"""When versions were champion, and what moved them."""

from datetime import UTC, datetime, timedelta

from include.release.reigns import Kept, happenings, reigns

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


VERDICTS = [
    Kept("canary", "PROMOTE", 1, at(0), "The first.", "m_lifecycle/1"),
    Kept("canary", "PROMOTE", 2, at(5), "It held.", "m_lifecycle/2"),
    Kept("canary", "ROLLBACK", 3, at(8), "It failed.", "m_lifecycle/3"),
    Kept("return", "PASS", 1, at(9), "anna took 2 out.", "m_rollback/1", champion=2),
]
PROMOTED = [("m_lifecycle/1", at(0.1)), ("m_lifecycle/2", at(5.1))]


def test_each_champion_reigns_until_the_next() -> None:
    found = reigns(happenings(VERDICTS, PROMOTED), champion=1)
    assert [(one.version, one.since, one.until) for one in found] == [(1, at(0.1), at(5.1)), (2, at(5.1), at(9)), (1, at(9), None)]


def test_a_verdict_alone_makes_no_champion() -> None:
    """It was decided to promote version 2, and the run was killed before it did."""
    moved = happenings(VERDICTS[:2], PROMOTED[:1])
    assert [(one.version, one.way) for one in moved] == [(1, "up"), (2, "note")]
    assert [one.version for one in reigns(moved, champion=1)] == [1]


def test_a_return_moves_two_versions() -> None:
    moved = [(one.version, one.way) for one in happenings(VERDICTS, PROMOTED) if one.kind == "return"]
    assert moved == [(2, "down"), (1, "up")]


def test_a_reign_that_the_registry_contradicts_is_not_told_as_the_present() -> None:
    assert [one.version for one in reigns(happenings(VERDICTS[:2], PROMOTED), champion=7)] == [1]
