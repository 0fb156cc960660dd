"""The way of a judge: it marks the labelled answers, then both versions' answers to the held-out prompts; what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.gates import judgement
from include.gates.judgement import Judgement
from include.judge import held_out, labels
from include.judge.ask import Judge, Mark
from include.judge.cache import Cache
from include.judge.held_out import HeldOut
from include.judge.labels import Label, Labels
from include.judge.question import instructions, question
from include.spec.schema import Spec

if TYPE_CHECKING:
    from pydantic_ai.models import Model

SHOWN = 10
"""Examples of a list in the report."""
SHOWN_CHARACTERS = 2000
"""Of a prompt, an answer or a reason in the report."""


def judged(
    spec: Spec,
    folder: Path,
    rows: Sequence[HeldOut],
    model: Model,
    cache: Cache,
    *,
    champion: str | None,
    not_comparable: str = "",
    say: Callable[[str], None] = print,
) -> Judgement:
    """``rows``: all held-out answers; ``champion``: its version, and ``not_comparable`` why its answers are missing nevertheless.

    Raises what :meth:`include.judge.ask.Judge.marks` raises; marks that were given until then are in ``cache``.
    """
    wanted = spec.evaluate.judge
    assert wanted is not None
    known, confidence = labels.read(folder / wanted.labels), spec.gate.confidence
    told = instructions(labels.rubric(folder / wanted.rubric), known.scale, with_reference=known.with_reference)
    judge = Judge(model, told, known.scale, cache, max_tokens=wanted.max_tokens, parallel=wanted.parallel)
    of_labels = judge.marks([question(label.prompt, label.answer, label.reference) for label in known.labels])
    agreed = judgement.agreement(known.scale, [label.mark for label in known.labels], [mark.place for mark in of_labels], confidence)
    doubt = agreed.doubt(wanted.min_kappa)
    say(f"The judge {judge.name}: {agreed.figure} on {agreed.labels} labelled answers" + (f"; not trusted: {doubt}." if doubt else "."))

    rows = held_out.drawn(rows, wanted.max_prompts)
    both = not not_comparable and champion is not None and all(row.champion is not None for row in rows)
    answers = [row.answer for row in rows] + ([row.champion or "" for row in rows] if both else [])
    asked = list(zip([*rows, *rows] if both else rows, answers, strict=True))
    given = judge.marks([question(row.prompt, answer, row.reference if known.with_reference else None) for row, answer in asked])
    ours, theirs = given[: len(rows)], given[len(rows) :]
    say(f"{len(known.labels) + len(asked)} answers to mark, {judge.asked} of them asked now; the others' marks were known.")

    places, others = [mark.place for mark in ours], [mark.place for mark in theirs]
    return Judgement(
        judge=judge.name,
        agreement=agreed,
        min_kappa=wanted.min_kappa,
        margin=wanted.margin,
        doubt=doubt,
        prompts=len(rows),
        unmarked=sum(None in pair for pair in zip(places, others or places, strict=True)),
        score=judgement.mean_mark(known.scale, places, confidence),
        champion=champion,
        champion_score=judgement.mean_mark(known.scale, others, confidence) if both else None,
        comparison=judgement.beside(known.scale, places, others, wanted.margin, confidence) if both else None,
        not_comparable=not_comparable,
        tasks=_by_task(known, rows, ours, theirs),
        disagreements=_disagreements(known, of_labels),
        worse=_worse(known, rows, ours, theirs),
        marks=[places.count(place) for place in range(len(known.scale))],
    )


def _by_task(known: Labels, rows: Sequence[HeldOut], ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[dict[str, Any]]:
    """``{"task", "prompts", "mark", "champion"}``: mean marks, 0 to 1, None where there is none."""
    found = []
    for task in sorted({row.task for row in rows}):
        at = [index for index, row in enumerate(rows) if row.task == task]
        means = [_mean(known, [side[index] for index in at]) if side else None for side in (ours, theirs)]
        found.append({"task": task, "prompts": len(at), "mark": means[0], "champion": means[1]})
    return found


def _mean(known: Labels, marks: Sequence[Mark]) -> float | None:
    places = [mark.place for mark in marks if mark.place is not None]
    return sum(places) / len(places) / (len(known.scale) - 1) if places else None


def _disagreements(known: Labels, marks: Sequence[Mark]) -> dict[str, Any]:
    """Labels that the judge marked otherwise or not at all, the furthest apart first: ``{"rows", "shown"}``."""
    apart = [
        (len(known.scale) if mark.place is None else abs(mark.place - label.mark), label, mark)
        for label, mark in zip(known.labels, marks, strict=True)
        if mark.place != label.mark
    ]
    apart.sort(key=lambda one: -one[0])
    return {"rows": len(apart), "shown": [_disagreement(known, label, mark) for _, label, mark in apart[:SHOWN]]}


def _disagreement(known: Labels, label: Label, mark: Mark) -> dict[str, str]:
    texts = {"prompt": _prompt(label.prompt), "answer": label.answer, "reason": mark.said}
    return _cut(texts) | {"label": known.scale[label.mark], "mark": _word(known, mark)}


def _worse(known: Labels, rows: Sequence[HeldOut], ours: Sequence[Mark], theirs: Sequence[Mark]) -> dict[str, Any]:
    """Held-out prompts whose answer the judge marks below the champion's: ``{"rows", "shown"}``."""
    pairs = [
        (row, our, their)
        for row, our, their in zip(rows, ours, theirs, strict=bool(theirs))
        if our.place is not None and their.place is not None and our.place < their.place
    ]
    return {
        "rows": len(pairs),
        "shown": [
            _cut({"prompt": _prompt(row.prompt), "answer": row.answer, "champion": row.champion or "", "reason": our.said})
            | {"task": row.task, "mark": _word(known, our), "champion_mark": _word(known, their)}
            for row, our, their in pairs[:SHOWN]
        ],
    }


def _word(known: Labels, mark: Mark) -> str:
    return "none" if mark.place is None else known.scale[mark.place]


def _prompt(messages: Sequence[dict[str, str]]) -> str:
    return messages[0]["content"] if len(messages) == 1 else "\n".join(f"{one['role']}: {one['content']}" for one in messages)


def _cut(texts: dict[str, str]) -> dict[str, str]:
    return {name: text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…" for name, text in texts.items()}
