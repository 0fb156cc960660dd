"""Runs as the platform would have left them behind, made by the real evaluation, gate, judge and profile on simulated data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.canary.plan import TrialPlan
from include.data import profile
from include.gates import judgement
from include.gates.evaluation import Champion, Evaluation
from include.gates.gate import gate
from include.gates.judgement import Judgement
from include.kinds.load import load
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import evaluate
from include.kinds.rows.rows import Rows
from include.load_test.figures import LoadFigures, Sent, at_rate, judge
from include.report.collect import collect
from include.report.data import ReportData
from include.spec.schema import ModelSpec, Task
from include.spec.serve import Slo
from include.verdict import Decision, Rule, Verdict
from tests.include.canary.simulated import CHAT, chat_looks, looks, run

MODELS = Path(__file__).parents[3] / "include" / "models"
RUN_ID = "manual__2026-11-21T02:40:17+00:00"
MLFLOW_RUN = "8163e2c02f6548a48ba9f8badbef630a"
BEGAN = datetime(2026, 11, 21, 2, 40, 17, tzinfo=UTC)
WAY = ("validate_data", "snapshot_data", "train", "evaluate", "gate", "approve", "optimize", "verify", "register", "deploy", "canary")
SECONDS = (4.1, 1.3, 11.6, 9.2, 0.6, 0.2, 2.4, 13.3, 4.9, 5.1, 36.8, 3.2, 0.7)


def spec(model: str = "digits") -> ModelSpec:
    return load(MODELS / model / "model.yaml")


def row(kind: str, verdict: Verdict, version: int | None = None) -> dict[str, Any]:
    """As ``GET /lifecycle/v1/verdicts`` gives it."""
    return {"kind": kind, "version": version, "decision": verdict.decision.value, "body": verdict.to_json()}


def data(rows: int = 400, task: Task = Task.CLASSIFICATION) -> Verdict:
    """A passed validation with a real profile."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, rows) if task is Task.CLASSIFICATION else rng.normal(150, 70, rows)
    frame = pd.DataFrame({"width": rng.normal(0, 1, rows), "colour": rng.choice(["red", "blue"], rows), "target": target})
    rules = (Rule("expect_column_values_to_not_be_null (*)", True, "3 columns, all rows", ""),)
    return Verdict(Decision.PASS, ("All 3 expectations that must hold do.",), rules, {"profile": profile.describe(frame, "target")})


@cache
def evaluation(model: str = "digits", right: float = 0.97, champion: bool = True) -> Evaluation:
    """The real evaluation of simulated answers on 300 held-out rows."""
    found, rng, rows = spec(model), np.random.default_rng(1), 300
    table = pd.DataFrame({"stroke": rng.choice(["thin", "thick"], rows), "sex": rng.choice([-0.04, 0.05], rows)})
    if found.task is Task.REGRESSION:
        truth = rng.normal(150, 70, rows)
        ours, theirs = (Answers(truth + rng.normal(0, 70 * np.sqrt(1 - right) * more, rows)) for more in (1.0, 1.2))
    else:
        truth = rng.integers(0, 4, rows)
        ours, theirs = (_classified(rng, truth, share) for share in (right, right - 0.02))
    test = Rows(table, pd.Series(truth), table)
    train = Rows(pd.concat([table] * 4), pd.concat([pd.Series(truth)] * 4), pd.concat([table] * 4))
    return evaluate(found, test, train, ours, Champion("1") if champion else None, theirs if champion else None, folder=Path())


def _classified(rng: np.random.Generator, truth: Any, right: float) -> Answers:
    predicted = np.where(rng.random(len(truth)) < right, truth, (truth + 1) % 4)
    probabilities = np.full((len(truth), 4), 0.05)
    probabilities[np.arange(len(truth)), predicted] = 0.85
    return Answers(predicted.astype("int64"), probabilities, (0, 1, 2, 3))


OPTIMIZATION = {
    "chosen": "graph",
    "candidates": [
        {
            "name": name,
            "available": size is not None,
            "reason": "" if size else "no layer of this model can be quantised",
            "accurate": size is not None,
            "mismatches": [],
            "score": {"metric": "accuracy", "rows": 300, "difference": 0.0, "low": 0.0, "high": 0.0} if size else None,
            "size_bytes": size,
            "p50_us": {"1": 6.1, "32": 9.0} if size else None,
            "speedup": speedup,
        }
        for name, size, speedup in (("plain", 21692, [1.0, 1.0, 1.0]), ("graph", 21806, [1.31, 1.22, 1.4]), ("int8", None, None))
    ],
}
VERIFIED = Verdict(Decision.PASS, ("graph is served: 1.31 times as fast as the plain export [1.22, 1.40].",), (), {"chosen": "graph"})
DEPLOYED = Verdict(
    Decision.PASS, ("32 golden inputs were answered as the reference says.",), (Rule("golden answers", True, "32 rows", "all"),)
)
FIRST = Verdict(Decision.PROMOTE, ("There is no champion to compare with: the first version is promoted as it is.",))


def trial(**harm: Any) -> tuple[list[dict[str, Any]], Verdict]:
    """The look rows and the real judge's verdict of a trial at 60 requests/s."""
    plan = TrialPlan.from_spec(spec().canary)
    seen = list(looks(plan, 60, **harm))
    ended = run(plan, iter(seen))
    kept = [look for look in seen if look.at_s <= ended.at_s]
    return [look_row(number, look) for number, look in enumerate(kept)], ended.verdict()


def chat_trial(**harm: Any) -> Verdict:
    """The real judge's verdict of a language model's trial."""
    return run(CHAT, chat_looks(**harm)).verdict()


def look_row(number: int, look: Any) -> dict[str, Any]:
    return {"number": number, "body": {"look": look.to_json(), "cursor": {}, "passed_s": look.at_s, "verdict": "CONTINUE"}}


def tasks(*ended: str, failed: str = "", **states: str) -> list[dict[str, Any]]:
    """Airflow's task instances of a run whose tasks ``ended`` came one after another; the last one ``failed`` when it is named so."""
    found, at = [], BEGAN
    for task_id, seconds in zip(ended, SECONDS, strict=False):
        start = at + timedelta(seconds=0.3)
        end = start + timedelta(seconds=seconds)
        times = {"scheduled_dttm": at, "queued_dttm": at + timedelta(seconds=0.1), "start_date": start, "end_date": end}
        state = "failed" if task_id == failed else "success"
        found.append({"task_id": task_id, "state": state, "try_number": 1} | {key: value.isoformat() for key, value in times.items()})
        at = end
    return found + [{"task_id": task_id, "state": state, "try_number": 0} for task_id, state in states.items()]


def mlflow_run(**metrics: float) -> dict[str, Any]:
    tags = {"updraft.data.md5": "d38c54b65265c69c7917be85b0a9b571", "updraft.data.size_bytes": "71254", "mlflow.user": "updraft"}
    return {
        "info": {"run_id": MLFLOW_RUN},
        "data": {
            "params": [{"key": "hidden_units", "value": "64"}] if metrics else [],  # the train step logs both
            "metrics": [{"key": key, "value": value} for key, value in metrics.items()],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        },
    }


def gathered(model: str = "digits", **parts: Any) -> ReportData:
    return collect(run_key=f"{model}_lifecycle/{RUN_ID}", spec=parts.pop("spec", spec(model)), **parts)


def through_gate(model: str = "digits", champion: bool = True) -> dict[str, Any]:
    """What every run that got past the gate has."""
    found = spec(model)
    measured = evaluation(model, champion=champion)
    return {
        "verdicts": [row("data", data(task=found.task)), row("gate", gate(measured, found.gate)), row("verify", VERIFIED)],
        "artifacts": {"evaluation": measured.to_json(), "optimization": OPTIMIZATION},
        "mlflow_run": mlflow_run(loss=0.01, **{"train/accuracy": 0.999, "train/seconds": 2.4, "test/accuracy": 0.97}),
    }


@cache
def promoted() -> ReportData:
    parts, (rows, verdict) = through_gate(), trial(seed=3)
    assert verdict.decision is Decision.PROMOTE
    parts["verdicts"] = [*parts["verdicts"], row("deploy", DEPLOYED, 2), row("canary", verdict, 2)]
    return gathered(**parts, looks=rows, tasks=tasks(*WAY, "promote", "settle", rollback="skipped", hold="skipped"))


@cache
def rolled_back() -> ReportData:
    parts, (rows, verdict) = through_gate(), trial(canary_errors=0.08)
    assert verdict.decision is Decision.ROLLBACK
    parts["verdicts"] = [*parts["verdicts"], row("deploy", DEPLOYED, 3), row("canary", verdict, 3)]
    return gathered(**parts, looks=rows, tasks=tasks(*WAY, "rollback", "settle", promote="skipped", hold="skipped"))


@cache
def first_version() -> ReportData:
    parts = through_gate(champion=False)
    parts["verdicts"] = [*parts["verdicts"], row("deploy", DEPLOYED, 1), row("canary", FIRST, 1)]
    return gathered(**parts, tasks=tasks(*WAY, "promote", "settle", rollback="skipped", hold="skipped"))


@cache
def regression() -> ReportData:
    parts, (rows, verdict) = through_gate("diabetes"), trial(seed=3)
    parts["verdicts"] = [*parts["verdicts"], row("deploy", DEPLOYED, 2), row("canary", verdict, 2)]
    return gathered("diabetes", **parts, looks=rows, tasks=tasks(*WAY, "promote", "settle"))


@cache
def failed_at_gate() -> ReportData:
    measured = evaluation(right=0.6)
    verdict = gate(measured, spec().gate)
    assert verdict.decision is Decision.FAIL
    return gathered(
        verdicts=[row("data", data()), row("gate", verdict)],
        artifacts={"evaluation": measured.to_json()},
        mlflow_run=mlflow_run(**{"train/accuracy": 0.7, "train/seconds": 1.2}),
        tasks=tasks(*WAY[:5], failed="gate", approve="upstream_failed", promote="upstream_failed"),
    )


def failed_at_data(verdict: Verdict) -> ReportData:
    """``verdict`` is the real one of a table that breaks its expectations."""
    return gathered(verdicts=[row("data", verdict)], mlflow_run=mlflow_run(), tasks=tasks("validate_data", failed="validate_data"))


def hostile() -> ReportData:
    """Every text that a user or the data could choose tries to be HTML."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    base = promoted()
    rule = Rule(evil, False, evil, evil, evil)
    frame = pd.DataFrame({evil: [evil, "b"], "target": [evil, evil]})
    bad = Verdict(Decision.FAIL, (evil,), (rule,), {"profile": profile.describe(frame, "target")})
    assert base.evaluation is not None
    matrix = {"confusion": {"labels": [evil, "b"], "rows_true_columns_predicted": [[3, 1], [0, 4]]}}
    part = replace(base.evaluation.slices[0], value=evil)
    return replace(
        base,
        description=evil,
        began=evil,
        run_key=evil,
        params={evil: evil},
        metrics={evil: 1.0},
        verdicts={**base.verdicts, "data": bad},
        evaluation=replace(base.evaluation, slices=(part,), charts=matrix),
        optimization={"chosen": evil, "candidates": [OPTIMIZATION["candidates"][0] | {"name": evil}]},
        tasks=(replace(base.tasks[0], task_id=evil), *base.tasks[1:]),
        versions={evil: evil},
    )


def judged(doubt: str = "") -> ReportData:
    """A language model's run with a judge's opinion in it."""
    scale, ours, theirs = ("bad", "good"), [0] * 10 + [1] * 30, [1] * 40
    agreed = judgement.agreement(scale, [0, 1] * 20, [0, 1] * 18 + [1, None, 0, 1], 0.95)
    texts = {"prompt": "What is 2 + 2?", "answer": "five <b>", "reason": "It is four."}
    found = Judgement(
        judge="gpt at api.example.com",
        agreement=agreed,
        min_kappa=0.6,
        margin=0.05,
        doubt=doubt,
        prompts=41,
        unmarked=1,
        score=judgement.mean_mark(scale, ours, 0.95),
        champion="1",
        champion_score=judgement.mean_mark(scale, theirs, 0.95),
        comparison=judgement.beside(scale, ours, theirs, 0.05, 0.95),
        tasks=[{"task": "sum", "prompts": 41, "mark": 0.75, "champion": 1.0}],
        disagreements={"rows": 2, "shown": [texts | {"label": "bad", "mark": "good"}]},
        worse={"rows": 10, "shown": [texts | {"task": "sum", "champion": "four", "mark": "bad", "champion_mark": "good"}]},
    )
    verdict = gate(evaluation(), spec().gate, found)
    return gathered(verdicts=[row("gate", verdict)], artifacts={"evaluation": evaluation().to_json(), "judgement": found.to_json()})


def loaded(version: int, *ttft_ms: float) -> LoadFigures:
    """The figures of a load test: the time to the first token at 4, 8, 16, ... requests a second."""
    slo = Slo(ttft_ms=500)
    rates = [at_rate(4.0 * 2**n, [Sent(ms / 1000, ms / 1000 + 0.2, 21)] * 40, 10.0, slo) for n, ms in enumerate(ttft_ms)]
    return LoadFigures(version, tuple(rates), slo.model_dump(), 40, 64, 10.0)


def load_tested() -> ReportData:
    """A language model's run that its load test has stopped."""
    verdict = judge(loaded(2, 30, 90, 700), 16, loaded(1, 40, 60, 80))
    return gathered(
        verdicts=[row("deploy", DEPLOYED, 2), row("load_test", verdict, 2)], tasks=tasks("deploy", "load_test", failed="load_test")
    )


@cache
def talked() -> ReportData:
    """A language model's run, stopped by its gate: its answers beside the champion's, and the forms it could have been served in."""
    said = {"id": "0", "task": "sum", "prompt": "What is 2 + 2?", "reference": "4", "answer": "5 <b>", "champion": "4"}
    lists = {
        "worse": {"rows": 3, "shown": [said]},
        "better": {"rows": 0, "shown": []},
        "wrong": {"rows": 1, "shown": [said | {"task": "fact"}]},
    }
    checks = [{"task": "sum <i>", "rows": 40, "refused": 2, "json_wanted": 9, "json": 7, "revealed": 1}]
    found = replace(evaluation(), task="chat", metric="exact_match", charts={"answers": lists, "checks": checks})
    common = {"available": True, "reason": "", "accurate": True, "mismatches": [], "score": {"difference": -0.01}}
    times = {"p50_us": {"1": 100.0, "4": 200.0}, "tokens_per_s": {"1": 320.0, "4": 640.0}}
    forms = [
        {**common, **times, "name": "f16", "same": 1.0, "size_bytes": 2_000_000, "speedup": [1.0, 1.0, 1.0]},
        {**common, **times, "name": "q8_0", "same": 0.97, "size_bytes": 1_100_000, "memory_bytes": 52_428_800, "speedup": [1.4, 1.3, 1.5]},
    ]
    parts = {"evaluation": found.to_json(), "optimization": {"chosen": "q8_0", "candidates": forms}}
    return gathered(artifacts=parts, curves={"loss": [(1, 7.0), (20, 3.0), (40, 0.4)]}, tasks=tasks("train", "evaluate"))
