"""Looks at a language model: answers of no use by their form are harm, other changes a notice, and what is not known is said."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.evidence.recompute import difference
from include.monitoring import chats
from include.monitoring.rows import Reference
from include.predictions import segments
from include.predictions.privacy import private
from include.spec.schema import PredictionLog
from include.verdict import Decision
from tests.include.monitoring.frames import HOUR, NOON, Production

SORRY = "I'm sorry, but I can't help with that."


def question(rng: np.random.Generator) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Where is my order " + "x" * int(rng.integers(5, 40))}]


def answer(rng: np.random.Generator) -> str:
    return "It is on its way " + "y" * int(rng.integers(5, 60))


def reference(rows: int = 400) -> Reference:
    rng = np.random.default_rng(0)
    said = [(answer(rng), True, bool(rng.random() < 0.9), False) for _ in range(rows)]
    return Reference.of(chats.reference([question(rng) for _ in range(rows)], said), classification=True)


def row(number: int, at: datetime, messages: Any, text: str | None, reason: str = "stop", **asked: Any) -> dict[str, Any]:
    outputs = {} if text is None else {"text": text}
    return {
        **{"id": f"r{number}", "time": at.timestamp() + number / 1000, "model": "support", "version": 3, "key": "app", "kind": "live"},
        **{"latency_ms": 2.0, "status": 200, "inputs": {"messages": messages, **asked}, "outputs": {**outputs, "finish_reason": reason}},
    }


def logged(rows: list[dict[str, Any]], **log: Any) -> pd.DataFrame:
    """The rows as the log keeps them, and as looks compare them."""
    kept = [private(one, PredictionLog(share=1, **log), b"s", chat=True) for one in rows]
    left_out = frozenset((*log.get("redact", ()), *log.get("hash", ())))
    return chats.rows(segments.from_parquet(segments.to_parquet(kept)), left_out)


class Chats(Production):
    def predictions(self, since: datetime | None, until: datetime) -> pd.DataFrame:
        found = pd.concat(self.rows) if self.rows else chats.rows(segments.empty())
        return found[(found["time"] < pd.Timestamp(until)) & (since is None or found["time"] >= pd.Timestamp(since))].reset_index(drop=True)


@pytest.fixture
def production(tmp_path: Any) -> Chats:
    return Chats(tmp_path)


def ask(number: int, at: datetime, said: Any, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    """So many rows; ``said`` gives the answer, or the answer and how it ended."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(number):
        told = said(rng)
        text, reason = told if isinstance(told, tuple) else (told, "stop")
        found.append(row(index, at, question(rng), text, reason, **more))
    return found


def test_answers_that_are_cut_off_or_empty_are_an_alarm_without_any_label(production: Chats) -> None:
    known = reference()
    first = None
    for hour in range(3):
        broken = lambda rng: (answer(rng), "length") if rng.random() < 0.4 else ("" if rng.random() < 0.1 else answer(rng))  # noqa: E731
        production.rows.append(logged(ask(45, NOON + hour * HOUR, broken, seed=hour)))
        first, verdict = production.look(known, first, NOON + (hour + 1) * HOUR)
    assert verdict.decision is Decision.ALARM
    assert "of no use by their form" in verdict.reasons[0]
    assert difference("drift", json.loads(json.dumps(verdict.to_json()))) is None


def test_answers_that_are_as_held_out_pass_and_nobody_has_said_that_they_are_right(production: Chats) -> None:
    known, last = reference(), None
    for hour in range(4):
        production.rows.append(logged(ask(45, NOON + hour * HOUR, answer, seed=hour)))
        last, verdict = production.look(known, last, NOON + (hour + 1) * HOUR)
    names = {rule.name: rule.passed for rule in verdict.rules}
    assert names["answers of no use"] is True and names["harm, by labels"] is None
    assert verdict.decision is Decision.NOT_KNOWN and "50 are needed" in verdict.reasons[0]
    assert json.loads(json.dumps(last)) == last


def test_what_a_caller_cut_off_itself_is_no_harm_and_json_that_was_asked_for_must_be_json() -> None:
    rng = np.random.default_rng(3)
    asked = {"response_format": {"type": "json_object"}}
    rows = [
        row(0, NOON, question(rng), "It is on", "length", max_tokens=3),
        row(1, NOON, question(rng), "It is on", "length"),
        row(2, NOON, question(rng), "no JSON", **asked),
        row(3, NOON, question(rng), '{"a": 1}', **asked),
        row(4, NOON, question(rng), SORRY),
        row(5, NOON, question(rng), "", "stop"),
    ]
    found = logged(rows)
    assert found["outputs.prediction"].tolist() == ["text", "cut off", "text", "JSON", "refusal", "empty"]
    assert found["useless"].tolist() == [0, 1, 1, 0, 0, 1]


def test_an_answer_that_the_log_hides_or_could_not_read_is_not_known() -> None:
    rng = np.random.default_rng(4)
    hidden = logged([row(0, NOON, question(rng), "secret")], redact=["outputs.text"])
    unread = logged([{**row(0, NOON, question(rng), None), "outputs": {}}])
    for found in (hidden, unread):
        assert found["useless"].isna().all() and found["outputs.prediction"].tolist() == [None]
    assert chats.hidden_columns({"outputs.text", "messages"}) == {*chats.ASKED, *chats.ANSWERED, "outputs.prediction"}
    assert logged([row(0, NOON, question(rng), "x")], hash=["messages"])["inputs.question_characters"].isna().all()


def test_labels_that_are_the_right_answer_are_compared_with_what_was_said_and_marks_are_not(production: Chats) -> None:
    known = reference()
    rows = ask(49, NOON, lambda rng: '{"b": 2, "a": 1}' if rng.random() < 0.5 else "Yes.")
    production.rows.append(logged(rows))
    right = {"id": [one["id"] for one in rows], "time": pd.Timestamp(NOON + 0.5 * HOUR)}
    told = pd.DataFrame(right | {"label": ['{"a": 1, "b": 2}' if one["outputs"]["text"][0] == "{" else "yes" for one in rows]})
    production.labels.append(chats.labels(told))
    found, verdict = production.look(known, None, NOON + HOUR)
    assert (found["seen"]["labelled"], found["seen"]["loss"]) == (49, 0.0)
    marks = pd.DataFrame(right | {"label": [True] * 49})
    assert len(chats.labels(marks)) == 0
    production.labels[-1] = chats.labels(told.assign(label="something else"))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.ALARM and "By labels" in verdict.reasons[0]


@pytest.mark.slow
def test_refusals_and_lengths_that_change_are_a_notice(production: Chats) -> None:
    production.rows.append(logged(ask(200, NOON, lambda rng: SORRY if rng.random() < 0.5 else answer(rng))))
    _, verdict = production.look(reference(), None, NOON + timedelta(hours=1))
    assert verdict.decision is Decision.NOTICE
    assert "the model's answer" in verdict.reasons[0] and "answer_characters" in verdict.reasons[0]
    assert "question_characters" not in verdict.reasons[0]


def test_a_stranger_s_request_is_no_look_s_end() -> None:
    """Callers send what they like: parts that are no parts, numbers for texts, requests for vectors."""
    odd = [
        row(0, NOON, [{"role": "user", "content": [{"type": "image_url"}, "x", {"type": "text", "text": "hm"}]}, 7], "x"),
        row(1, NOON, "no list", "x"),
        row(2, NOON, [], "x"),
        {**row(3, NOON, None, None), "inputs": {"input": "vector me"}, "outputs": {}},
    ]
    found = logged(odd)
    assert found["id"].tolist() == ["r0", "r2"]
    assert found["inputs.question_characters"].tolist() == [2, 0]
