"""Chats as Great Expectations judges them: by their profile, with built-in rules and the user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.data import chat_profile
from include.data.chats import Row, Split
from include.spec.llm import ChatData
from include.spec.problem import SpecError
from include.verdict import Decision, Verdict

Judge = Callable[..., Verdict]


def row(question: str, answer: str = "yes", split: Split = "train", *before: str, id: str = "", system: str = "") -> Row:
    said = [*before, question, answer]
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    first = [{"role": "system", "content": system}] if system else []
    return Row(id or question, split, "all", first + turns)


GOOD = [row(f"What is {n}?", str(n), "eval" if n % 5 == 0 else "train") for n in range(20)]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    def judge(rows: list[Row], tokens: int = 12, **data: Any) -> Verdict:
        frame = chat_profile.describe(rows, [(tokens, 2)] * len(rows))
        frame.to_parquet(tmp_path / "chats.parquet")
        spec = ChatData(source="data:load", **data)
        return chat_profile.check(tmp_path / "chats.parquet", spec, tmp_path, tmp_path / "docs", name="chatty")

    return judge


def failed(verdict: Verdict) -> dict[str, str]:
    return {rule.name.partition("(")[2].rstrip(")"): f"{rule.figure}: {rule.detail}" for rule in verdict.rules if not rule.passed}


@pytest.mark.slow
def test_good_chats_pass_and_the_docs_show_it(judge: Judge, tmp_path: Path) -> None:
    verdict = judge(GOOD)
    assert (verdict.decision, failed(verdict)) == (Decision.PASS, {})
    assert verdict.evidence["profile"]["rows"] == 20 and verdict.evidence["profile"]["target"]["name"] == "task"
    assert (tmp_path / "docs" / "index.html").is_file()


def test_personal_data_fails_by_its_kind_and_chat_unless_it_may_be_there(judge: Judge) -> None:
    chats = [*GOOD, row("Who?", "joe@corp.com, joe@home.org"), row("Pay 4111 1111 1111 1111 or DE89370400440532013000", "+49 170 1234567")]
    verdict = judge(chats)
    assert verdict.decision is Decision.FAIL
    assert failed(verdict) == {
        "emails": "1 of 22 rows: row 21: 2",
        "phones": "1 of 22 rows: row 22: 1",
        "cards": "1 of 22 rows: row 22: 1",
        "ibans": "1 of 22 rows: row 22: 1",
    }
    assert judge(chats, personal_data=True).decision is Decision.PASS


def test_a_chat_longer_than_allowed_fails(judge: Judge) -> None:
    assert judge(GOOD, tokens=2048).decision is Decision.PASS
    assert failed(judge(GOOD[:6], tokens=33, max_tokens=32))["tokens"].startswith("6 of 6 rows: row 1: 33")


def test_copies_and_second_answers_are_warned_of(judge: Judge) -> None:
    verdict = judge([*GOOD, row("What is 3?", "3"), row("What is 4?", "five")])
    assert verdict.decision is Decision.PASS
    assert verdict.evidence["profile"]["duplicates"] == 1
    assert failed(verdict) == {"copies": "2 of 22 rows: row 4: 1, row 21: 1", "other_answers": "2 of 22 rows: row 5: 1, row 22: 1"}


def test_a_held_out_chat_that_training_goes_through_is_a_leak(judge: Judge) -> None:
    held_out = row("What is blue?", "A colour.", "eval")
    assert judge([*GOOD, held_out]).decision is Decision.PASS
    longer = row("And red?", "One too.", "train", "what is  BLUE?", "A colour.")
    told = row("What is blue?", "A colour.", "train", id="other", system="Be short.")
    verdict = judge([*GOOD, held_out, longer, told])
    assert (verdict.decision, failed(verdict)["leaked"]) == (Decision.FAIL, "1 of 23 rows: row 21: 2")


def test_the_same_question_late_in_another_talk_is_no_leak(judge: Judge) -> None:
    thanks = row("Thanks!", "Welcome.", "eval")
    assert judge([*GOOD, thanks, row("Thanks!", "Welcome.", "train", "What is 3?", "3", id="other")]).decision is Decision.PASS


def test_roles_out_of_turn_fail_whoever_wrote_the_table(judge: Judge) -> None:
    broken = Row("x", "train", "all", [{"role": "user", "content": "a"}, {"role": "user", "content": " "}])
    assert failed(judge([*GOOD, broken])) == {"roles": "1 of 21 rows: row 21: uu", "shortest_turn": "1 of 21 rows: row 21: 0"}


def test_the_users_own_rules_count_too_and_are_named_by_their_file(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("- expect_column_values_to_match_regex: {column: answer, regex: '^[0-9]$'}\n")
    assert failed(judge(GOOD, expectations="own.yaml"))["answer"].startswith("10 of 20 rows: row 11: 10, row 12: 11")
    (tmp_path / "own.yaml").write_text("\n- expect_magic: {column: task}\n")
    with pytest.raises(SpecError, match=r"own.yaml:2: .*no such rule"):
        judge(GOOD, expectations="own.yaml")
