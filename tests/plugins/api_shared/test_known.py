"""A token found good is good for a second more; a refusal never is."""

import asyncio

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import HTTPException

from api_shared.known import KNOWN_S, MOST, Known


class Checks:
    """Airflow's place: which tokens are good, and how often it was asked."""

    def __init__(self) -> None:
        self.good, self.asked, self.now = {"a", "b"}, [], 0.0
        self.known = Known(self.resolve, lambda: self.now)

    async def resolve(self, token: str) -> SimpleAuthManagerUser:
        self.asked.append(token)
        if token not in self.good:
            raise HTTPException(403, "Invalid JWT token")
        return SimpleAuthManagerUser(username=token, role="op")

    def user(self, token: str) -> str:
        return asyncio.run(self.known.user(token)).get_name()


@pytest.fixture
def checks() -> Checks:
    return Checks()


def test_a_token_is_checked_once_a_second(checks: Checks) -> None:
    assert [checks.user("a") for _ in range(3)] == ["a"] * 3
    checks.now = KNOWN_S
    assert checks.user("a") == "a"
    assert checks.asked == ["a", "a"]


def test_tokens_are_told_apart(checks: Checks) -> None:
    assert [checks.user(token) for token in "abab"] == list("abab")
    with pytest.raises(HTTPException):
        checks.user("c")


def test_a_refusal_is_not_remembered(checks: Checks) -> None:
    with pytest.raises(HTTPException):
        checks.user("c")
    checks.good.add("c")
    assert checks.user("c") == "c"


def test_a_token_that_was_logged_out_is_refused_after_a_second(checks: Checks) -> None:
    checks.user("a")
    checks.good.clear()
    checks.now = KNOWN_S
    for _ in range(2):
        with pytest.raises(HTTPException):
            checks.user("a")


def test_using_it_does_not_make_it_good_for_longer(checks: Checks) -> None:
    checks.user("a")
    checks.good.clear()
    for share in (0.5, 0.9):
        checks.now = KNOWN_S * share
        checks.user("a")
    checks.now = KNOWN_S * 1.1
    with pytest.raises(HTTPException):
        checks.user("a")


def test_no_more_than_so_many_are_kept(checks: Checks) -> None:
    checks.good = {str(number) for number in range(MOST * 2)}
    for token in checks.good:
        checks.user(token)
    assert len(checks.known._users) <= MOST


def test_a_token_that_is_no_text_is_refused_like_any_other(checks: Checks) -> None:
    with pytest.raises(HTTPException):
        checks.user("\udcff")
