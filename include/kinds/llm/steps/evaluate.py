"""Step `llm.evaluate`: what the model answers to the held-out chats, how right that is, by task, beside the champion. Runtime `llm`.

Inputs: ``table``, ``model`` (folder), ``mlflow_run_id``; optional ``champion`` (bundle folder) and ``champion_version``. The champion
answers through its own server, as it does in production. Writes ``evaluation.json`` and ``reference.parquet`` (the held-out chats' lengths
and forms); logs the metrics and both files to the MLflow run.
Where a judge is wanted it writes what it is to mark, ``answers.jsonl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from include.backends import options
from include.backends.chat import chat_backend
from include.backends.client import Said, ServerRefused
from include.backends.registry import backend
from include.bundles.chat import ChatBundle
from include.data import chats
from include.data.chats import Row
from include.gates import chat
from include.gates.evaluation import Champion, Comparison, Evaluation, Score, Slice
from include.gates.metrics import Metric, metrics_of, score_metric
from include.gates.outcomes import Answered
from include.gates.paired import compare, score
from include.gates.slices import slices
from include.judge import held_out
from include.judge.held_out import HeldOut
from include.kinds.llm import answers, harness
from include.monitoring.chats import reference, texts_kept
from include.monitoring.look import REFERENCE
from include.spec.llm import LlmSpec
from include.spec.serve import ChatServe
from include.steps.context import StepContext
from include.steps.tracking import tracked

if TYPE_CHECKING:
    import pandas as pd

FILE, ANSWERS = "evaluation.json", "answers.jsonl"
SHOWN = 20
"""Answers of a list in the report."""
SHOWN_CHARACTERS = 2000
"""Of a prompt or an answer in the report."""


@dataclass(frozen=True)
class Judged:
    """What one model said to the held-out rows, and how right it is."""

    said: Sequence[Said]
    outcome: Answered


def run(ctx: StepContext) -> dict[str, Any]:
    """Result: ``evaluation`` (path), ``metrics`` (name to value), ``score``, ``rows``; ``answers`` (path) for a judge."""
    spec = ctx.spec(LlmSpec)
    table = chats.table(ctx.input("table"))
    rows = [row for row in table if row.split == "eval"]
    model = answers.Model.load(ctx.input("model"), normalises=chat_backend(backend(spec.serve.backend)).normalises(spec.serve))
    limits = answers.limits(model, rows, spec)
    said = model.answer(rows, limits)
    losses, tokens = model.losses(rows)
    ours = Judged(said, answers.outcome(said, rows, tokens, losses))
    tasks = harness.scores(model, spec, ctx.folder, ctx.out)
    del model  # the champion needs the memory
    champion, theirs = _champion(ctx, spec, rows, limits, tokens)
    evaluation = evaluate(spec, rows, len(table) - len(rows), ours, champion, theirs)
    evaluation = replace(evaluation, scores={**evaluation.scores, **tasks})
    path = ctx.out / FILE
    evaluation.save(path)
    _reference(spec, rows, ours).to_parquet(ctx.out / REFERENCE)
    result = {}
    if spec.evaluate.judge is not None:
        held_out.write(ctx.out / ANSWERS, to_judge(rows, ours, theirs))
        result = {"answers": str(ctx.out / ANSWERS)}
    values = {name: found.value for name, found in evaluation.scores.items()}
    with tracked(ctx) as tracking:
        tracking.metrics(values, prefix="test/")
        tracking.artifact(path)
        tracking.artifact(ctx.out / REFERENCE)
    print(f"{evaluation.metric} = {values[evaluation.metric]} on {len(rows)} held-out chats.", flush=True)
    return result | {"evaluation": str(path), "metrics": values, "score": values[evaluation.metric], "rows": len(rows)}


def _reference(spec: LlmSpec, rows: Sequence[Row], ours: Judged) -> pd.DataFrame:
    """What production is compared with from then on; the texts too, where their meaning is compared and the log does not hide them."""
    log = spec.monitor.log
    kept = texts_kept((*log.redact, *log.hash)) if spec.monitor.embedder else ()
    wanted = [chat.wants_json(row.answer) for row in rows]
    said = zip((one.text for one in ours.said), (one.ended for one in ours.said), ours.outcome.matches.tolist(), wanted, strict=True)
    return reference([row.prompt for row in rows], said, kept)


def evaluate(
    spec: LlmSpec, rows: Sequence[Row], train_rows: int, ours: Judged, champion: Champion | None, theirs: Judged | None
) -> Evaluation:
    """All figures of the held-out rows; ``theirs`` are the champion's answers, when it could be asked."""
    metric = score_metric(spec)
    if champion is not None and theirs is not None:
        champion = Champion(champion.version, _scores(spec, theirs.outcome), _compare(spec, metric, ours.outcome, theirs.outcome))
    return Evaluation(
        task=spec.task.value,
        metric=metric.name,
        rows=len(rows),
        train_rows=train_rows,
        confidence=spec.gate.confidence,
        scores=_scores(spec, ours.outcome),
        slices=tuple(_slices(spec, metric, rows, ours.outcome, theirs.outcome if theirs else None)),
        champion=champion,
        charts={"answers": side_by_side(rows, ours, theirs), "checks": checks_by_task(rows, ours.outcome)},
    )


def to_judge(rows: Sequence[Row], ours: Judged, theirs: Judged | None) -> list[HeldOut]:
    """All answers in full; of one that was cut off it says so."""
    return [
        HeldOut(row.id, row.task, row.prompt, row.answer, _text(ours.said[index]), _text(theirs.said[index]) if theirs else None)
        for index, row in enumerate(rows)
    ]


def checks_by_task(rows: Sequence[Row], outcome: Answered) -> list[dict[str, Any]]:
    """For the report, how many answers of each task are what they should not be; tasks in order.

    ``{"task", "rows", "refused", "json_wanted", "json", "revealed"}``, all but the first counts of rows.
    """
    import numpy as np

    if outcome.checks is None:
        return []
    tasks = np.array([row.task for row in rows])
    found = []
    for task in sorted(set(tasks.tolist())):
        part = outcome.checks.take(tasks == task)
        counts = {"refused": part.refused, "json_wanted": part.json_wanted, "json": part.json & part.json_wanted, "revealed": part.revealed}
        found.append({"task": task, "rows": int((tasks == task).sum()), **{name: int(mask.sum()) for name, mask in counts.items()}})
    return found


def side_by_side(rows: Sequence[Row], ours: Judged, theirs: Judged | None) -> dict[str, Any]:
    """For the report: ``worse`` (only the champion was right: the regressions), ``better``, ``wrong`` (neither, or no champion).

    Each is ``{"rows": how many, "shown": [{"id", "task", "prompt", "reference", "answer", "champion"}]}`` of the first few.
    """
    right = ours.outcome.matches
    lists = {"wrong": ~right}
    if theirs is not None:
        before = theirs.outcome.matches
        lists = {"worse": before & ~right, "better": right & ~before, "wrong": ~right & ~before}
    return {
        name: {"rows": int(mask.sum()), "shown": [_shown(rows, ours, theirs, index) for index in mask.nonzero()[0][:SHOWN]]}
        for name, mask in lists.items()
    }


def _shown(rows: Sequence[Row], ours: Judged, theirs: Judged | None, index: int) -> dict[str, str | None]:
    row = rows[index]
    prompt = "\n".join(message["content"] for message in row.prompt) if len(row.prompt) == 1 else _dialogue(row)
    found = {"prompt": prompt, "reference": row.answer, "answer": _text(ours.said[index])}
    if theirs is not None:
        found["champion"] = _text(theirs.said[index])
    cut = {name: text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…" for name, text in found.items()}
    return {"id": row.id, "task": row.task, "champion": None, **cut}


def _dialogue(row: Row) -> str:
    return "\n".join(f"{message['role']}: {message['content']}" for message in row.prompt)


def _text(said: Said) -> str:
    return said.text if said.ended else f"{said.text} … (cut after {said.tokens} tokens)"


def _champion(
    ctx: StepContext, spec: LlmSpec, rows: Sequence[Row], limits: Sequence[int], tokens: Any
) -> tuple[Champion | None, Judged | None]:
    if "champion" not in ctx.request.inputs:
        return None, None
    version, bundle = ctx.request.inputs.get("champion_version", ""), ctx.input("champion")
    known = ChatBundle.read(bundle)
    try:
        serve = _served_by(bundle, spec)
        with chat_backend(backend(serve.backend)).asked(known.model, serve, int(known.chat["context"])) as server:
            said = answers.of_server(server, rows, limits)
    except ServerRefused as error:
        return Champion(version, not_comparable=f"champion {version} does not take today's chats: {error.what}"), None
    return Champion(version), Judged(said, answers.outcome(said, rows, tokens))


def _served_by(bundle: Path, spec: LlmSpec) -> ChatServe:
    """How the champion is served: another server than the spec's by now, perhaps."""
    found = options.read(bundle)[0] if (bundle / options.FILE).exists() else spec.serve
    return cast(ChatServe, found)  # a bundle of chats


def _scores(spec: LlmSpec, outcome: Answered) -> dict[str, Score]:
    return {name: score(metric, outcome, spec.gate.confidence) for name, metric in metrics_of(spec.task).items()}


def _compare(spec: LlmSpec, metric: Metric, ours: Answered, theirs: Answered) -> Comparison:
    return compare(metric, ours, theirs, spec.gate.max_regression, spec.gate.confidence)


def _slices(spec: LlmSpec, metric: Metric, rows: Sequence[Row], ours: Answered, theirs: Answered | None) -> list[Slice]:
    import pandas as pd

    found = []
    for column in spec.gate.slices:
        for value, mask in slices(pd.Series([row.task for row in rows])):
            part = ours.take(mask)
            own = score(metric, part, spec.gate.confidence)
            if theirs is None:
                found.append(Slice(column, value, len(part), own))
                continue
            other = theirs.take(mask)
            champions = score(metric, other, spec.gate.confidence)
            found.append(Slice(column, value, len(part), own, champions, _compare(spec, metric, part, other)))
    return found
