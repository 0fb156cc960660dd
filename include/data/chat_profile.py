"""What is known of each chat, as a table with a row a chat: what Great Expectations judges a chat's data by, and the rules it must keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from include import atomic
from include.data import personal
from include.data.chats import Row, same
from include.data.validate import validate
from include.spec.llm import ChatData
from include.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[tuple[str, str], ...]


def describe(rows: Sequence[Row], tokens: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """One row a chat, in their order. ``tokens``: of the whole chat and of its answer, by the base model's template.

    Columns: `id`, `split`, `task`, `question` (the last one), `answer`; `roles` (their initials: `sua` is system, user, assistant), `turns`
    (messages), `shortest_turn` (characters), `tokens`, `answer_tokens`; `copies` (other chats that are equal), `other_answers` (different
    ones to the same prompt), `leaked` (of a held-out chat: conversations to train on that go through it, system message aside), and how
    much personal data of each kind is in it: `emails`, `phones`, `cards`, `ibans`, `identities`.
    """
    import pandas as pd

    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    passed: Counter[Key] = Counter()
    for row in rows:
        answers[row.id][row.answer.strip()] += 1
        if row.split == "train":
            passed.update(set(_passages(row)))
    out: list[dict[str, Any]] = []
    for row, (whole, answer) in zip(rows, tokens, strict=True):
        text = "\n".join(message["content"] for message in row.messages)
        out.append(
            {
                "id": row.id,
                "split": row.split,
                "task": row.task,
                "question": row.messages[-2]["content"],
                "answer": row.answer,
                "roles": "".join(message["role"][0] for message in row.messages),
                "turns": len(row.messages),
                "shortest_turn": min(len(message["content"].strip()) for message in row.messages),
                "tokens": whole,
                "answer_tokens": answer,
                "copies": answers[row.id][row.answer.strip()] - 1,
                "other_answers": len(answers[row.id]) - 1,
                "leaked": passed[_passages(row)[-1]] if row.split == "eval" else 0,
                **{name: len(find(text)) for name, find in personal.KINDS.items()},
            }
        )
    return pd.DataFrame(out)


def _passages(row: Row) -> list[Key]:
    """The conversation up to each of the assistant's messages, the last one being the whole."""
    turns = tuple((message["role"], same(message["content"])) for message in row.messages if message["role"] != "system")
    return [turns[: n + 1] for n, (role, _) in enumerate(turns) if role == "assistant"]


def rules(data: ChatData) -> list[dict[str, dict[str, Any]]]:
    """The built-in expectations, in the form of an expectations file. A copy or a second answer is a warning; the others must hold."""

    def none(column: str, severity: str = "critical") -> dict[str, dict[str, Any]]:
        return {"expect_column_values_to_be_between": {"column": column, "max_value": 0, "severity": severity}}

    return [
        {"expect_column_values_to_match_regex": {"column": "roles", "regex": "^s?(?:ua)+$"}},
        {"expect_column_values_to_be_between": {"column": "shortest_turn", "min_value": 1}},
        {"expect_column_values_to_be_between": {"column": "tokens", "max_value": data.max_tokens}},
        {"expect_column_values_to_be_between": {"column": "answer_tokens", "min_value": 1}},
        {"expect_column_distinct_values_to_contain_set": {"column": "split", "value_set": ["train", "eval"]}},
        none("leaked"),
        none("copies", "warning"),
        none("other_answers", "warning"),
        *([] if data.personal_data else [none(column) for column in personal.KINDS]),
    ]


def check(profile: Path, data: ChatData, folder: Path, docs: Path, *, name: str) -> Verdict:
    """PASS or FAIL of the chats in ``profile`` by the built-in rules and those that the spec in ``folder`` names (see ``validate``).

    The built-in rules are written beside ``profile``, as `expectations.yaml`.
    """
    built_in = profile.parent / "expectations.yaml"
    atomic.write(built_in, yaml.safe_dump(rules(data), sort_keys=False))
    own = [folder / data.expectations] if data.expectations is not None else []
    return validate(profile, [built_in, *own], docs, name=name, target="task")
