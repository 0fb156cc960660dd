"""What a look at chats asks others: a model for the vectors of texts, and the spec's judge for marks. Neither ends a look by failing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.errors import UpdraftError
from include.gates.judgement import Judgement
from include.gateway.credentials import PROBE_CLIENT, Credentials
from include.monitoring.chats import ANSWER_TEXT, MESSAGES, QUESTION_TEXT
from include.monitoring.embedder import Embedder
from include.monitoring.looks import Looks
from include.monitoring.meaning import ANSWERS, FEWEST, MARKS, QUESTIONS, Beside, drawn, marks_p_value, p_value
from include.monitoring.rows import Logged, Reference
from lifecycle.operators.judge import ARTIFACT, judge_model
from lifecycle.run import Run

if TYPE_CHECKING:
    import pandas as pd

COMPARED = {QUESTIONS: QUESTION_TEXT, ANSWERS: ANSWER_TEXT}


def beside(run: Run, looks: Looks, version: int) -> Callable[[Reference, Logged], Beside]:
    """Return what compares the texts of a look at this version with those of its held-out chats."""

    def asked(reference: Reference, rows: Logged) -> Beside:
        found = Beside()
        if looks.embedder is not None:
            found += _told(lambda: meaning(_embedder(run, str(looks.embedder)), reference, rows), "Whether texts mean something else")
        if looks.judged:
            found += _told(lambda: marks(run, looks.judged, version, rows), "Whether a judge marks answers otherwise")
        return found

    return asked


def meaning(embedder: Embedder, reference: Reference, rows: Logged) -> Beside:
    """Compare questions and answers by their vectors; both sides are asked for now, so that another version of the embedder is no change.

    Raises ComponentError when the embedder fails.
    """
    p_values, unknown = {}, []
    for name, column in COMPARED.items():
        sides = [_texts(side, column, ids) for side, ids in ((reference.texts, None), (rows.texts, rows.ids))]
        if short := [where for where, side in zip(("held-out", "logged"), sides, strict=True) if len(side) < FEWEST]:
            why = f"fewer than {FEWEST} {short[0]} texts are known. A version that was made without `monitor.embedder` has none"
            unknown.append(f"Whether {name} has changed is not known: {why}.")
            continue
        p_values[name] = p_value(*(embedder.vectors(side) for side in sides))
    return Beside(p_values, unknown)


def marks(run: Run, most: int, version: int, rows: Logged) -> Beside:
    """Compare the judge's marks of live answers with those of the version's held-out ones. Raises UpdraftError when it can't be asked."""
    from include.judge import labels
    from include.judge.ask import Judge
    from include.judge.cache import Cache
    from include.judge.question import instructions, question

    wanted = run.spec.evaluate.judge
    mlflow_run = str(run.mlflow.version(run.model, version)["run_id"])
    known = Judgement.from_json(json.loads(run.mlflow.read(mlflow_run, ARTIFACT)))
    people = labels.read(run.folder / wanted.labels)
    if why := _no_judge(known, people.with_reference):
        return Beside(unknown=[f"Whether a judge marks answers otherwise is not known: {why}."])
    chats = _chats(rows.texts, rows.ids, most)
    model = judge_model(wanted, run.settings)
    told = instructions(labels.rubric(run.folder / wanted.rubric), people.scale, with_reference=False)
    judge = Judge(model, told, people.scale, Cache(run.settings.home / "judge"), max_tokens=wanted.max_tokens, parallel=wanted.parallel)
    if judge.name != known.judge:
        return Beside(unknown=[f"Whether a judge marks answers otherwise is not known: {judge.name} has not marked the held-out ones."])
    given = [mark.place for mark in judge.marks([question(prompt, answer, None) for prompt, answer in chats])]
    counts = [given.count(place) for place in range(len(people.scale))]
    if sum(counts) < FEWEST:
        return Beside(unknown=[f"Whether a judge marks answers otherwise is not known: {sum(counts)} marks, and {FEWEST} are needed."])
    return Beside({MARKS: marks_p_value(known.marks, counts)})


def _no_judge(known: Judgement, with_reference: bool) -> str:
    """Why the judge's marks of live answers tell nothing; empty when they do."""
    if known.doubt:
        return f"the judge is not trusted ({known.doubt})"
    if with_reference:
        return "the judge is shown a right answer beside each, and live ones have none"
    if sum(known.marks) < FEWEST:
        return "the version has too few marked answers. Run the model's lifecycle again"
    return ""


def _chats(texts: pd.DataFrame | None, ids: pd.Series[Any], most: int) -> list[tuple[list[dict[str, str]], str]]:
    """At most so many conversations with their answers, of those whose texts are known."""
    if texts is None:
        return []
    known = texts[texts[MESSAGES].map(lambda value: isinstance(value, list)) & texts[ANSWER_TEXT].notna()]
    chosen = known.iloc[drawn(ids[known.index], most)]
    return list(zip(chosen[MESSAGES], chosen[ANSWER_TEXT], strict=True))


def _texts(texts: pd.DataFrame | None, column: str, ids: pd.Series[Any] | None) -> list[str]:
    """Those of a column that are known, a bounded number of them drawn by their rows' ids (of held-out ones by their places)."""
    if texts is None or column not in texts.columns:
        return []
    known = texts[column].dropna()
    names = known.index if ids is None else ids[known.index]
    return [str(text) for text in known.iloc[drawn(map(str, names))]]


def _embedder(run: Run, model: str) -> Embedder:
    key = Credentials.load(run.settings).api_keys[PROBE_CLIENT]
    return Embedder(run.settings.gateway_url, {"x-api-key": key}, model)


def _told(compare: Callable[[], Beside], what: str) -> Beside:
    try:
        return compare()
    except UpdraftError as error:
        return Beside(unknown=[f"{what} is not known: {error}"])
