"""The step `llm.evaluate`: what a model that was taught something answers, and the champion beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from include.data import chats
from include.gates.evaluation import Evaluation
from include.gates.gate import gate
from include.judge import held_out
from include.monitoring.rows import Reference
from include.spec.llm import LlmGate
from include.verdict import Decision
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import PAIRS, WORDS, Taught

pytestmark = pytest.mark.integration
Teach = Callable[..., Taught]


@pytest.fixture
def teach(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> Teach:
    return lambda name="one", **given: Taught.make(tmp_path / name, llm, mlflow, **given)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory, llm: Trainer, mlflow: Mlflow) -> str:
    """The bundle of a model that knows all of ``PAIRS``; not to be changed."""
    return str(Taught.make(tmp_path_factory.mktemp("champion") / "one", llm, mlflow).bundle().result["bundle"])


HALF = [(asked, answer if asked.startswith("What") else "no idea") for asked, answer in PAIRS]
"""What a model is taught that can do one of the two tasks."""


def test_the_figures_are_those_of_the_answers_and_reach_mlflow(teach: Teach, mlflow: Mlflow) -> None:
    model = teach(pairs=HALF)
    done = model.step("evaluate", model=model.base)
    assert done.result, done.log
    assert "answers" not in done.result, "nobody asked for a judge"
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    rows = chats.table(model.table, "eval")
    known = sum(row.task == "what" for row in rows) / len(rows)
    assert (evaluation.task, evaluation.metric, evaluation.rows, evaluation.train_rows) == (
        "chat",
        "exact_match",
        len(rows),
        36 - len(rows),
    )
    assert evaluation.scores["exact_match"].value == pytest.approx(known) and evaluation.scores["format_rate"].value == 1.0
    assert 1.0 < evaluation.scores["perplexity"].value < 100.0
    assert {part.value: part.score.value for part in evaluation.slices} == {"what": 1.0, "say": 0.0}
    assert [(one["task"], one["refused"], one["json_wanted"], one["revealed"]) for one in evaluation.charts["checks"]] == [
        ("say", 0, 0, 0),
        ("what", 0, 0, 0),
    ]
    assert (evaluation.scores["refusal_rate"].value, evaluation.scores["json_rate"].value) == (0.0, None)
    wrong = evaluation.charts["answers"]["wrong"]
    assert wrong["rows"] == sum(row.task == "say" for row in rows)
    assert wrong["shown"][0]["prompt"].startswith("Say") and wrong["shown"][0]["answer"] == "no idea"
    assert mlflow.metrics(model.run_id)["test/exact_match"] == pytest.approx(known)
    assert {"evaluation.json", "reference.parquet"} <= set(mlflow.artifacts(model.run_id))
    known_of = Reference.of(pd.read_parquet(Path(done.result["evaluation"]).with_name("reference.parquet")), classification=True)
    assert (len(known_of.loss), known_of.loss.mean()) == (len(rows), pytest.approx(1 - known))
    assert known_of.useless is not None and known_of.useless.sum() == 0 and set(known_of.answers) == {"text"}


def test_a_champion_that_knew_more_is_named_answer_by_answer(teach: Teach, champion: str) -> None:
    challenger = teach(pairs=HALF)
    done = challenger.step("evaluate", model=challenger.base, champion=champion, champion_version="3")
    assert done.result, done.log
    evaluation = Evaluation.read(Path(done.result["evaluation"]))
    lost = sum(row.task == "say" for row in chats.table(challenger.table, "eval"))
    assert evaluation.champion.scores["exact_match"].value == 1.0 and evaluation.champion.scores["perplexity"].value is None
    assert evaluation.champion.comparison.method == f"McNemar, exact: 0 rows gained, {lost} lost"
    worse = evaluation.charts["answers"]["worse"]
    assert worse["rows"] == lost == len(worse["shown"]) and evaluation.charts["answers"]["better"]["rows"] == 0
    assert all(one["champion"] == one["reference"] in WORDS and one["answer"] == "no idea" for one in worse["shown"])
    verdict = gate(evaluation, LlmGate(min_score=0.0, min_slice_rows=1))
    assert verdict.decision is Decision.FAIL and any("champion" in reason for reason in verdict.reasons)


def test_what_a_judge_is_to_mark_is_kept_where_one_is_wanted(teach: Teach, champion: str) -> None:
    challenger = teach(pairs=HALF)
    (challenger.folder / "rubric.md").write_text("Good: right.")
    lines = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": str(number)}]} for number in range(20)]
    marked = [json.dumps(line | {"mark": "good" if number % 2 else "bad"}) for number, line in enumerate(lines)]
    (challenger.folder / "labels.jsonl").write_text("\n".join(marked))
    challenger.spec(evaluate={"judge": {"model": "other"}})
    done = challenger.step("evaluate", model=challenger.base, champion=champion, champion_version="3")
    assert done.result, done.log
    kept, rows = held_out.read(Path(done.result["answers"])), chats.table(challenger.table, "eval")
    assert [(one.id, one.prompt, one.reference) for one in kept] == [(row.id, row.prompt, row.answer) for row in rows]
    assert all(one.champion == one.reference for one in kept)
    assert all(one.answer == ("no idea" if one.task == "say" else one.reference) for one in kept)
    few = held_out.drawn(kept, 5)
    assert len(few) == 5 and few == held_out.drawn(list(reversed(kept)), 5), "always the same ones"


def test_a_champion_whose_conversations_are_shorter_cannot_be_compared(teach: Teach, champion: str) -> None:
    challenger = teach(config={"max_position_embeddings": 4096})
    long = [chats.Chat((chats.Message("user", f"{number}, and what is " * 100), chats.Message("assistant", "one"))) for number in range(8)]
    chats.write(long, challenger.table, 0.5)
    done = challenger.step("evaluate", model=challenger.base, champion=champion, champion_version="3")
    assert done.result, done.log
    why = Evaluation.read(Path(done.result["evaluation"])).champion.not_comparable
    assert "champion 3 does not take today's chats" in why and "context" in why


def test_a_prompt_that_no_conversation_has_room_for_is_named(teach: Teach) -> None:
    model = teach(serve={"context": 32}, data={"source": "chats.jsonl", "max_tokens": 32})
    chats.write([chats.Chat((chats.Message("user", f"{n} " * 30), chats.Message("assistant", "one"))) for n in range(8)], model.table, 0.5)
    done = model.step("evaluate", model=model.base)
    assert done.error["kind"] == "input" and done.error["where"] == "serve.context" and "a conversation has 32 at most" in done.message
