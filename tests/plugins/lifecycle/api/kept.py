"""Verdicts of every kind, made by the code that makes them in a run, over random figures."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from include.bundles import chat_golden
from include.bundles import golden_probe as golden
from include.bundles.golden import Tolerance
from include.canary.compared import Compared, Pair
from include.canary.plan import AnswersPlan, TrialPlan
from include.canary.progress import Progress
from include.canary.trial import Trial
from include.canary.verdicts import ended_by_hand, first_version
from include.data import validate
from include.errors import InputError
from include.evidence.stopped import stopped
from include.gates.evaluation import Champion, Comparison, Evaluation, Score, Slice
from include.gates.gate import gate
from include.gates.judgement import Agreement, Judgement
from include.kinds.forms import choice as verify
from include.kinds.forms.candidates import Candidate
from include.kinds.forms.speed import Speed
from include.kinds.llm.steps import verify as chat_verify
from include.labels import verdict as labels_verdict
from include.labels.export import Given, Labelled, Read
from include.load_test.figures import LoadFigures, Sent, at_rate, judge
from include.monitoring import watching
from include.monitoring.estimate import Calibration
from include.release.returned import returned
from include.release.unasked import unasked
from include.spec.label import Label
from include.spec.schema import Gate
from include.spec.serve import Slo
from include.steps.bars import Bars
from include.verdict import Rule, Verdict
from include.watch import verdicts as watch
from include.watch.verdicts import evidence
from tests.include.canary.simulated import CHAT, chat_looks, looks
from tests.include.watch.lives import suspected, tried

Looks = list[dict[str, Any]]
PLAN = TrialPlan(steps=(20, 50), step_s=6.0, look_s=2.0, min_requests=20, max_p99_ms=400.0)


def verdicts(seed: int) -> Iterator[tuple[str, Verdict, Looks]]:
    """One of each sort: its kind, the verdict, and the looks that a canary's was reached by."""
    rng = random.Random(seed)
    yield "data", _data(rng), []
    yield "gate", _gate(rng), []
    yield "verify", _verify(rng), []
    yield "verify", _chat_verify(rng), []
    yield "deploy", _deploy(rng), []
    yield "deploy", _chat_deploy(rng), []
    yield "deploy", unasked("own"), []
    yield "load_test", _load_test(rng), []
    yield "return", returned(rng.randint(1, 9), rng.randint(1, 9), "anna", rng.choice(("", "it was too slow"))), []
    yield "watch", watch.verdict(evidence(suspected(), rng.choice((None, 2)), None, ())), []
    yield "drift", _drift(rng), []
    yield "labels", _labels(rng), []
    yield "stopped", stopped("optimize", InputError("can't be exported.", where=rng.choice(("", "train.entry")), remedy="Use a tree.")), []
    yield "canary", first_version(None, rng.randint(1, 99)), []
    yield "canary", Progress.start(PLAN, 4.0).ended_by_hand("anna", "the task canary was cleared."), []
    if seed % 3 == 0:  # a trial takes as long as all the others
        yield (
            "canary",
            *_trial(PLAN, looks(PLAN, 40, canary_errors=rng.choice((0.0, 0.3)), seed=seed), rng.random() < 0.5, rng.choice((0, 0, 2))),
        )
        answers = rng.choice((AnswersPlan(rows=300, differ=3), AnswersPlan(rows=300, differ=3, tolerance=0.5), AnswersPlan(unknown="so.")))
        seen = Compared(20, 9, (Pair("age 30", "0", "1"),)) if rng.random() < 0.5 else Compared()
        plan = replace(PLAN, answers=answers)
        yield "canary", *_trial(plan, (replace(one, compared=seen) for one in looks(plan, 40, seed=seed)), False)
    if seed % 50 == 0:
        yield "watch", watch.verdict(tried(errors=(0, rng.choice((0, 2))), hindrance=rng.choice(("", "a person holds it.")))), []
    if seed % 50 == 0:  # and a conversation's a hundred times as long
        yield "canary", *_trial(CHAT, chat_looks(seed=seed), False)


def _drift(rng: random.Random) -> Verdict:
    """The second look at a version of which nothing, or something, was known and has come."""
    draw = np.random.default_rng(rng.randint(0, 10**6))
    confidence, loss = draw.uniform(0.5, 1, 500), (draw.random(500) < rng.choice((0.0, 0.2))).astype(float)
    known = Calibration.fit(confidence, loss) if rng.random() < 0.7 else None
    begun = watching.State.start(loss, known, 0.02, rng.choice((None, loss)))
    state = begun.observe(_seen(draw, begun, rng))
    return watching.verdict(
        watching.evidence(
            since=rng.choice((None, "2026-01-01T00:00:00+00:00")),
            until="2026-01-01T01:00:00+00:00",
            rows=rng.randint(0, 300),
            opening=rng.choice((state, None)),
            seen=rng.choice((_seen(draw, state, rng), None)),
            quality=rng.choice(({"expectations": 3, "failed": ["age: 1 of 9"]}, {"expectations": 3, "failed": []}, None)),
            change=rng.choice(({"columns": ["age: is new."], "p_values": {"b": 0.3}}, {"columns": [], "p_values": {"b": 1e-9}}, None)),
            unknown=rng.choice(([], ["Harm is not known: MLflow does not answer."])),
        )
    )


def _seen(draw: np.random.Generator, state: watching.State, rng: random.Random) -> dict[str, Any]:
    confidence = draw.uniform(0.5, 1, rng.randint(0, 300))
    loss = (draw.random(rng.randint(0, len(confidence))) < rng.choice((0.1, 0.8))).astype(float)
    useless = (draw.random(rng.randint(0, 200)) < rng.choice((0.0, 0.9))).astype(float)
    return state.summary(rng.choice((confidence, None)), loss, confidence[: len(loss)], useless)


def _trial(plan: TrialPlan, seen: Iterable[Any], mirrored: bool, ended_at: int = 0) -> tuple[Verdict, Looks]:
    """A trial to its end, or to that look; behind a mirrored phase if there was one."""
    trial, kept = Trial.start(plan), []
    if mirrored:
        first = next(iter(looks(replace(PLAN, steps=(50,)), 40, seed=1)))
        kept.append(_look(first, mirrored=True))
    for look in seen:
        trial = trial.observe(look)
        kept.append(_look(look, mirrored=False) | ({} if kept else {"plan": plan.to_json()}))
        if trial.verdict().decision.value != "CONTINUE":
            break
        if len(kept) == ended_at:
            return ended_by_hand(trial.verdict(), "olaf", "production was returned."), kept
    return trial.verdict(), kept


def _look(look: Any, mirrored: bool) -> dict[str, Any]:
    place = {"inode": 7, "offset": 120}
    return {"look": look.to_json(), "cursor": place, "passed_s": look.at_s, "mirrored": mirrored, "verdict": "CONTINUE"}


def _score(rng: random.Random) -> Score:
    value = rng.choice((None, rng.random(), rng.random(), rng.random()))
    return Score(value, None, None, "no rows") if value is None else Score(value, value - 0.1, value + 0.1, "Wilson")


def _comparison(rng: random.Random) -> Comparison:
    difference = rng.uniform(-0.1, 0.1)
    return Comparison("accuracy", 300, difference, difference - 0.02, difference + 0.02, rng.random(), 0.0, "McNemar, exact")


def _labels(rng: random.Random) -> Verdict:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    given = [tuple(Given(who, at, rng.choice((0, 1))) for who in ("anna", "bo")[: rng.randint(1, 2)]) for _ in range(rng.randint(0, 30))]
    rows = [Labelled(str(n), n, {}, one, one[0].label, rng.choice(("control", "uncertain")), 1, "") for n, one in enumerate(given)]
    read = Read(rows, ["Task 1: is none of the classes."] * rng.randint(0, 3), rng.randint(0, 2))
    return labels_verdict.decide(labels_verdict.evidence(read, Label(classes=(0, 1)), numbers=False))


def _data(rng: random.Random) -> Verdict:
    findings = [
        (Rule(f"expect_{n}", rng.choice((True, True, None, False)), f"{n} of 9 rows", "min_value 0", "row 4: -1"), rng.random() < 0.5)
        for n in range(rng.randint(1, 6))
    ]
    profile = {
        "rows": 9,
        "missing": 0,
        "duplicates": 1,
        "column_count": 1,
        "columns": {"größe": {"type": "float64", "missing": 0, "distinct": 9, "min": -1.5, "mean": 0.1, "max": None}},
        "target": {
            "name": "y",
            "distribution": [{"value": rng.choice((1, "a", 0.5, True)), "rows": 9}, {"from": 0.0, "to": 1.0, "rows": 2}],
        },
    }
    return validate.conclude(findings, profile, len(findings))


def _gate(rng: random.Random) -> Verdict:
    slices = tuple(Slice("sex", str(n), rng.randint(5, 90), _score(rng), _score(rng), _comparison(rng)) for n in range(rng.randint(0, 3)))
    champion = rng.choice((None, Champion("1", {"accuracy": _score(rng)}, _comparison(rng)), Champion("1", not_comparable="no column")))
    found = Evaluation("classification", "accuracy", 300, 1200, 0.95, {"accuracy": _score(rng), "ece": _score(rng)}, slices, champion)
    rules = Gate.model_validate({"min_score": 0.5, "bars": [{"metric": "ece", "max": 0.5}], "slices": ["sex"]})
    agreed = Agreement(("bad", "good"), ((9, 1, 0), (2, 8, 1)), _score(rng))
    opinion = Judgement("gpt", agreed, 0.6, 0.05, rng.choice(("", "kappa is low")), 40, 1, _score(rng), "1", _score(rng), _comparison(rng))
    return gate(found, rules, rng.choice((None, opinion)))


def _speed(rng: random.Random, plain: bool = False) -> Speed:
    speedup = 1.0 if plain else rng.uniform(0.5, 3)
    return Speed({1: rng.uniform(5, 90), 32: 90.0}, speedup, speedup - 0.1, speedup + 0.1)


def _verify(rng: random.Random) -> Verdict:
    fine = replace(_comparison(rng), difference=0.0)
    forms = [verify.Judged(Candidate("plain", "plain.onnx", Tolerance(1e-5)), (), fine, 21692, _speed(rng, plain=True))]
    for name in ("graph", "int8"):
        wrong = rng.choice(((), ("label: 3 of 32 values differ",)))
        forms.append(verify.Judged(Candidate(name, f"{name}.onnx", Tolerance(1e-5, 0.1)), wrong, _comparison(rng), 21000, _speed(rng)))
    forms.append(verify.Judged(Candidate("tensorrt_fp16", None, Tolerance(0.1), "there is no GPU here", True)))
    return verify.decide(forms, Bars(0.01, 1.05))


def _chat_verify(rng: random.Random) -> Verdict:
    forms = [chat_verify.Judged("f16", 2_000_000, replace(_comparison(rng), difference=0.0), 1.0, _speed(rng, plain=True), 5)]
    forms += [chat_verify.Judged("q8_0", 1_000_000, _comparison(rng), rng.random(), _speed(rng), 4)]
    return chat_verify.decide(forms, Bars(0.01, 1.0), rng.choice(("llamacpp", "vllm")))


def _deploy(rng: random.Random) -> Verdict:
    wrong = rng.choice(((), ("label: 3 of 32 values differ, first in row 2: 4 instead of 9",)))
    return golden.conclude(32, Tolerance(1e-5, 1e-3), rng.random(), problem=rng.choice(("", "503: not ready")), mismatches=wrong)


def _chat_deploy(rng: random.Random) -> Verdict:
    wrong = rng.choice(([], [chat_golden.Wrong(2, "'five'", "'four'")]))
    return chat_golden.conclude(8, rng.randint(0, 2), rng.random(), wrong, rng.choice(("", "no answer (timed out)")))


def _load_test(rng: random.Random) -> Verdict:
    slo = Slo(ttft_ms=500)

    def loaded(version: int) -> LoadFigures:
        rates = [at_rate(4.0 * 2**n, [Sent(ms, ms + 0.2, 21)] * 40, 10.0, slo) for n, ms in enumerate((0.03, rng.uniform(0.1, 0.9)))]
        return LoadFigures(version, tuple(rates), slo.model_dump(), 40, 64, 10.0)

    return judge(loaded(2), rng.choice((None, 4.0, 8.0)), rng.choice((None, loaded(1))))
