"""``python -m bench.loop [--lives 10] [--seed 1]``: a readable table, and as the very last line one JSON object.

The whole loop on streams in simulated time: a model is trained, its callers' rows change at a known row, with harm or without, labels come
late; a policy decides when to retrain, and what of it gets into production. Ours are the platform's own parts (the looks' tests, the rows
that ``data.production`` adds, the gate, the trial's test on answers, the damping) without servers. Beside it: a fixed schedule, and a
trigger without a gate.

``promotions_that_lowered_accuracy``: true accuracy, on 8,000 fresh rows of the stream as it is then, fell by more than a point.
``missed``: lives whose loss rose beyond the margin and that were not back within the margin of a model made of such rows alone by the end.
``mean_rows_to_recovery``: rows from the change until they were, of those that were.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from bench.drift.streams import STREAMS, Draw, Stream
from include.canary.answers_test import AnswersTest
from include.canary.compared import Compared
from include.canary.plan import AnswersPlan
from include.data.origin import ORIGIN, PRODUCTION, SOURCE, like_live
from include.gates.evaluation import Champion
from include.gates.gate import gate
from include.kinds.rows.answers import Answers, of_estimator
from include.kinds.rows.evaluation import evaluate
from include.kinds.rows.rows import Rows
from include.kinds.rows.split import held_out
from include.monitoring.estimate import Calibration
from include.monitoring.watching import State
from include.spec.schema import ModelSpec, Monitor, Task
from include.verdict import Decision

SOURCE_ROWS, LOOK_ROWS, LOOKS, CHANGE = 5_000, 100, 170, 50
"""Rows of the source; rows a look, looks a life, and the look before which callers' rows change."""
LATE = 5
"""Looks after which labels come."""
MOST_ROWS, ALONE = 3_000, 2_000
"""Rows of production that a retraining learns from, the newest that are labelled; from so many on without the source."""
LOOKS_A_DAY, SCHEDULE = 24, 40
"""A look an hour; the fixed schedule retrains every so many looks."""
FRESH, LOWERED, MARGIN = 8_000, 0.01, 0.02
LIVE = 1_500
"""Live rows that both arms of a trial are asked."""
ALPHA = 0.05
Model = HistGradientBoostingClassifier
Floats, Ints = npt.NDArray[np.float64], npt.NDArray[np.int64]
Json = dict[str, Any]


def spec(min_score: float) -> ModelSpec:
    """A model's spec as it is by default; the gate asks for a score that the first version has."""
    values = {"name": "life", "task": "classification", "data": {"source": "x.csv", "target": "y"}, "gate": {"min_score": min_score}}
    return ModelSpec.model_validate_json(json.dumps(values))


def trained(x: Floats, y: Ints) -> Model:
    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=0).fit(x, y)


@dataclass
class Life:
    """One model's life: what its callers have sent, in order, and what serves."""

    stream: Stream
    changes: Draw
    rng: np.random.Generator
    x: list[Floats] = field(default_factory=list)
    y: list[Ints] = field(default_factory=list)
    promotions: int = 0
    lowered: int = 0
    recovered_look: int | None = None

    def __post_init__(self) -> None:
        self.source = self.stream.before(self.rng, SOURCE_ROWS)
        own = held_out(pd.DataFrame(self.source[0]).rename(columns=str), 0.2)
        self.champion = trained(self.source[0][~own], self.source[1][~own])
        self.held_out = self.source[0][own], self.source[1][own]
        self.spec = spec(max(0.0, float(self.champion.score(*self.held_out)) - 0.1))
        self.fresh = self.changes(self.rng, FRESH)
        self.before = self.stream.before(self.rng, FRESH)
        best = trained(*self.changes(self.rng, SOURCE_ROWS)).score(*self.fresh)
        calm = self.champion.score(*self.before)
        now = self.champion.score(*self.fresh)
        self.good = best - MARGIN
        self.harmed = now < calm - MARGIN and now < self.good

    def labelled(self, look: int) -> tuple[Floats, Ints]:
        """The newest rows whose labels have come by this look."""
        first = max(0, look - LATE - MOST_ROWS // LOOK_ROWS)
        return np.concatenate(self.x[first : look - LATE]), np.concatenate(self.y[first : look - LATE])

    def promote(self, model: Model, look: int) -> None:
        truth = self.fresh if look >= CHANGE else self.before
        self.lowered += model.score(*truth) < self.champion.score(*truth) - LOWERED
        self.promotions += 1
        self.champion = model


class Ours:
    """The platform's own loop; ``alone``: with ``data.production.replace_source_at``; ``scheduled``: with ``schedule`` besides alarms."""

    def __init__(self, life: Life, alone: bool = True, scheduled: bool = True) -> None:
        self.alone, self.scheduled = alone, scheduled
        self.life, self.acted = life, list[int]()
        self._watch(*life.held_out)

    def _watch(self, x: Floats, y: Ints) -> None:
        confidence, loss = self._answered(x, y)
        self.state = State.start(loss, Calibration.fit(confidence, loss), MARGIN)
        self.since, self.told = len(self.life.x), 0

    def _answered(self, x: Floats, y: Ints) -> tuple[Floats, Floats]:
        probabilities = self.life.champion.predict_proba(x)
        return probabilities.max(axis=1), (self.life.champion.classes_[probabilities.argmax(axis=1)] != y).astype(float)

    def look(self, number: int) -> None:
        x, y, late = self.life.x, self.life.y, number - LATE
        confidence, _ = self._answered(x[-1], y[-1])
        known, loss = self._answered(x[late], y[late]) if late >= self.since else (np.zeros(0), np.zeros(0))
        self.state = self.state.observe(self.state.summary(confidence, loss, known))
        estimated = self.state.estimate is not None and self.state.estimate.proven and not self.state.refuted
        alarmed = (self.state.harm.proven[0] or estimated) and self._allowed(number)
        if alarmed:
            self.acted.append(number)
        if alarmed or (self.scheduled and number and number % SCHEDULE == 0):
            self._retrain(number)

    def _allowed(self, number: int) -> bool:
        """As ``monitor.cool_down_s`` and ``max_a_day`` damp it."""
        damping = Monitor()
        today = [at for at in self.acted if number - at < LOOKS_A_DAY]
        return number > LATE and not any(number - at < damping.cool_down_s / 3600 for at in today) and len(today) < damping.max_a_day

    def _retrain(self, number: int) -> None:
        """A run of the lifecycle: the source and what production has shown, split, trained, gated, tried."""
        life = self.life
        x, y = life.labelled(number)
        sources = 0 if self.alone and len(y) >= ALONE else len(life.source[1])
        table = pd.DataFrame(np.concatenate([life.source[0][:sources], x])).rename(columns=str)
        table = table.assign(y=np.concatenate([life.source[1][:sources], y]), **{ORIGIN: [SOURCE] * sources + [PRODUCTION] * len(y)})
        out = held_out(table, 0.2)
        train, test = self._rows(table[~out]), self._rows(table[out])
        model = trained(train.x.to_numpy(), train.y.to_numpy())
        evaluation = evaluate(life.spec, test, train, self._said(model, test), Champion("1"), self._said(life.champion, test))
        if gate(evaluation, life.spec.gate).decision is Decision.PASS and self._trial(model, evaluation.champion):
            life.promote(model, number)
            live = like_live(test.table)
            self._watch(test.x.to_numpy()[live], test.y.to_numpy()[live])

    def _rows(self, table: pd.DataFrame) -> Rows:
        table = table.reset_index(drop=True)
        return Rows(table.drop(columns=["y", ORIGIN]), table["y"], table)

    def _said(self, model: Model, rows: Rows) -> Answers:
        return of_estimator(_Plain(model), rows.x, Task.CLASSIFICATION)

    def _trial(self, model: Model, champion: Champion | None) -> bool:
        """Live rows asked of both, against the held-out ones."""
        known = champion.disagreement if champion else None
        if known is None:
            return True
        x, _ = self.life.changes(self.life.rng, LIVE) if len(self.life.x) > CHANGE else self.life.stream.before(self.life.rng, LIVE)
        differ = int((model.predict(x) != self.life.champion.predict(x)).sum())
        plan = AnswersPlan(requests=LIVE, share=0.5, margin=0.01, rows=known.rows, differ=known.differ, tolerance=known.tolerance)
        return not AnswersTest.start(plan, ALPHA).observe(Compared(LIVE, differ), ALPHA, 1.0).limit.crossed()[0]


class _Plain:
    """A model that takes a frame as an array."""

    def __init__(self, model: Model) -> None:
        self._model, self.classes_ = model, model.classes_

    def predict(self, x: pd.DataFrame) -> Any:
        return self._model.predict(x.to_numpy())

    def predict_proba(self, x: pd.DataFrame) -> Any:
        return self._model.predict_proba(x.to_numpy())


class Scheduled:
    """Retrains every :data:`SCHEDULE` looks on the source and the newest labelled rows, and promotes what comes of it."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def look(self, number: int) -> None:
        if number and number % SCHEDULE == 0:
            self._retrain(number)

    def _retrain(self, number: int) -> None:
        x, y = self.life.labelled(number)
        model = trained(np.concatenate([self.life.source[0], x]), np.concatenate([self.life.source[1], y]))
        self.life.promote(model, number)


class Triggered(Scheduled):
    """Retrains once Page and Hinkley's test (0.005, 50, from 30 rows on) says so, on the labelled rows since then, and promotes."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._reset()

    def _reset(self) -> None:
        self.rows = self.total = self.walk = self.least = 0.0

    def look(self, number: int) -> None:
        late = number - LATE
        if late < 0:
            return
        for wrong in (self.life.champion.predict(self.life.x[late]) != self.life.y[late]).astype(float):
            self.rows, self.total = self.rows + 1, self.total + wrong
            self.walk += wrong - self.total / self.rows - 0.005
            self.least = min(self.least, self.walk)
            if self.rows > 30 and self.walk - self.least > 50:
                self._reset()
                x, y = np.concatenate(self.life.x[max(0, late - 2) : late + 1]), np.concatenate(self.life.y[max(0, late - 2) : late + 1])
                if len(np.unique(y)) > 1:
                    self.life.promote(trained(x, y), number)
                return


POLICIES: dict[str, Callable[[Life], Any]] = {
    "ours": Ours,
    "ours, the source kept": partial(Ours, alone=False),
    "ours, by alarms alone": partial(Ours, scheduled=False),
    "a fixed schedule": Scheduled,
    "a trigger without gate": Triggered,
}


def lived(stream: Stream, changes: Draw, policy: Callable[[Life], Any], seed: list[int]) -> Life:
    """One life from its first look to its last."""
    life = Life(stream, changes, np.random.default_rng(seed))
    loop = policy(life)
    for number in range(LOOKS):
        x, y = (stream.before if number < CHANGE else changes)(life.rng, LOOK_ROWS)
        life.x.append(x)
        life.y.append(y)
        loop.look(number)
        if life.harmed and number >= CHANGE and life.recovered_look is None and life.champion.score(*life.fresh) >= life.good:
            life.recovered_look = number
    return life


def figures(lives: list[Life]) -> Json:
    """What a policy's lives come to."""
    harmed = [life for life in lives if life.harmed]
    rows = [(life.recovered_look - CHANGE + 1) * LOOK_ROWS for life in harmed if life.recovered_look is not None]
    return {
        "promotions": sum(life.promotions for life in lives),
        "promotions_that_lowered_accuracy": sum(life.lowered for life in lives),
        "harmed": len(harmed),
        "missed": len(harmed) - len(rows),
        "mean_rows_to_recovery": round(float(np.mean(rows))) if rows else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.loop", description=__doc__)
    parser.add_argument("--lives", type=int, default=10, help="lives a stream, harmful and harmless each")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random streams")
    args = parser.parse_args()
    if args.lives < 1:
        parser.error("--lives must be at least 1")
    started, found = time.monotonic(), dict[str, list[Life]]()
    print(f"{LOOKS} looks of {LOOK_ROWS} rows, labels {LATE} looks late, a change after {CHANGE} looks.")
    print(f"{args.lives} lives a stream, with harm and without.")
    print(f"{'':28} {'':24} {'promoted':>9} {'lowered':>8} {'harmed':>7} {'missed':>7} {'rows to recovery':>17}")
    for n, stream in enumerate(STREAMS):
        for name, policy in POLICIES.items():
            lives = [
                lived(stream, changes, policy, [args.seed, n, kind, number])
                for kind, changes in enumerate((stream.harm, stream.harmless))
                for number in range(args.lives)
            ]
            found.setdefault(name, []).extend(lives)
            print(_line(stream.name, name, figures(lives)), flush=True)
    summary = {name: figures(lives) for name, lives in found.items()}
    print()
    for name, row in summary.items():
        print(_line("all", name, row))
    ours = {key: summary["ours"][key] for key in ("promotions_that_lowered_accuracy", "missed", "mean_rows_to_recovery")}
    print(json.dumps(ours | {"policies": summary, "lives": args.lives, "seed": args.seed, "seconds": round(time.monotonic() - started, 1)}))


def _line(stream: str, name: str, row: Json) -> str:
    figures = f"{row['promotions']:>9} {row['promotions_that_lowered_accuracy']:>8} {row['harmed']:>7} {row['missed']:>7}"
    return f"{stream:28} {name:24} {figures} {row['mean_rows_to_recovery'] or '-':>17}"


if __name__ == "__main__":
    main()
