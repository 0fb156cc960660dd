"""The search for hyperparameters, as the report shows it: its course, what mattered, every trial at a glance, what the winner is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from include.report.bars import Bar, bars
from include.report.lines import Chart, Line, chart
from include.report.scale import Scale, number
from include.report.svg import Figure, drawing, element, fitting, line, text
from include.search.plan import Axis, Plan, SearchState, Trial, best

WIDTH, HEIGHT, TOP, BOTTOM = 440.0, 250.0, 34.0, 30.0
MOST_LINES = 200
WORDS = {SearchState.COMPLETE: "complete", SearchState.PRUNED: "given up", SearchState.FAILED: "failed", SearchState.RUNNING: "not ended"}


class Told:
    """A search in the form of the artifact ``search.json``. KeyError, TypeError or ValueError for what is none."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.plan = Plan.from_json(found["plan"])
        self.trials = [Trial.from_json(row) for row in found["trials"]]
        winner = best(self.trials, maximize=self.plan.maximize)
        if winner is None:
            raise ValueError("no trial is complete")
        self.winner, self.gain, self.importance = winner, dict(found["gain"]), dict(found.get("importance") or {})
        self.metric = str(self.gain["metric"])

    def sentences(self) -> list[str]:
        """What came of it, in words: the winner, what it is worth, and what it gained over the run's own parameters."""
        counts = {state: sum(trial.state is state for trial in self.trials) for state in WORDS}
        parts = ", ".join(f"{count} {WORDS[state]}" for state, count in counts.items() if count)
        said = [
            f"Of {len(self.trials)} trials ({parts}) number {self.winner.number} is the best: {self.metric} {number(self.winner.value)}."
        ]
        value, gain = self.gain["value"], self.gain["gain"]
        if value["corrected"] is not None:
            said.append(
                f"The best of many looks better than it is: {number(value['corrected'])} is to be expected "
                f"[{number(value['low'])}, {number(value['high'])}]."
            )
        if self.winner.number == 0:
            said.append("The run's own parameters were the best.")
        elif gain is None or gain["corrected"] is None:
            said.append("What it gained is not known: the trial with the run's own parameters did not come to its end.")
        else:
            proven = " It may be chance." if gain["low"] <= 0 else ""
            said.append(
                f"It looks better than the run's own parameters by {number(gain['naive'])}; {number(gain['corrected'])} is to be expected "
                f"[{number(gain['low'])}, {number(gain['high'])}].{proven}"
            )
        return said

    def rows(self) -> list[tuple[str, str, str]]:
        """Each searched parameter: its name, the run's own value, the winner's."""
        return [(name, _shown(self.plan.first[name]), _shown(self.winner.params[name])) for name in self.plan.axes]

    def figures(self) -> list[Figure]:
        """The course of the search, the parameters' importance, parallel coordinates."""
        found = [self._history()]
        if self.importance:
            rows = [Bar(name, share, share, share, f"{100 * share:.0f} %") for name, share in self.importance.items()]
            title = "What decided whether a trial was among the best"
            found.append(Figure(title, bars(title, rows, 0.0, ""), note="PED-ANOVA over the complete trials; the shares add up to 100 %."))
        return [*found, self._parallel()]

    def _history(self) -> Figure:
        known = [trial for trial in self.trials if trial.state is SearchState.COMPLETE and trial.value is not None]
        so_far: list[tuple[float, float | None]] = []
        for trial in known:
            before = so_far[-1][1] if so_far else None
            choose = max if self.plan.maximize else min
            so_far.append((float(trial.number), trial.value if before is None else choose(before, trial.value or 0.0)))
        alone: list[Line] = [Line("stable", [(float(trial.number), trial.value)]) for trial in known]
        title = f"{self.metric} by trial"
        picture = chart(Chart(title, [*alone, Line("canary", so_far)], x_label="trial"))
        return Figure(title, picture, legend=(("dot stable", "a trial"), ("line canary", "best so far")))

    def _parallel(self) -> Figure:
        names = [*self.plan.axes, self.metric]
        known = [trial for trial in self.trials if trial.state is SearchState.COMPLETE and trial.value is not None]
        shown = [*sorted(known, key=lambda trial: trial.number != self.winner.number, reverse=True)][-MOST_LINES:]
        at = [24 + index * (WIDTH - 48) / max(len(names) - 1, 1) for index in range(len(names))]
        scales = [_scale(axis) for axis in self.plan.axes.values()]
        values = [trial.value or 0.0 for trial in known]
        last = Scale(min(values), max(values), HEIGHT - BOTTOM, TOP)
        parts = [_axis(x, name, *_ends(axis)) for x, (name, axis) in zip(at, self.plan.axes.items(), strict=False)]
        parts.append(_axis(at[-1], self.metric, number(min(values)), number(max(values))))
        for trial in shown:
            heights = [scale(trial.params[name]) for name, scale in zip(self.plan.axes, scales, strict=True)] + [last(trial.value or 0.0)]
            corners = "L".join(f"{x:.1f},{y:.1f}" for x, y in zip(at, heights, strict=True))
            won = trial.number == self.winner.number
            parts.append(element("path", d=f"M{corners}", class_="line canary" if won else "line stable", opacity=None if won else 0.3))
        title = "Every complete trial: its parameters, and what came of them"
        return Figure(title, drawing(title, WIDTH, HEIGHT, parts), legend=(("line stable", "a trial"), ("line canary", "the winner")))


def told(found: Mapping[str, Any] | None) -> Told | None:
    """Return the search of a run; None where there is none, or what is kept of it is no search."""
    try:
        return None if found is None else Told(found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _scale(axis: Axis) -> Any:
    places: Sequence[Any] = axis.choices
    if places:
        by_place = Scale(0, max(len(places) - 1, 1), HEIGHT - BOTTOM, TOP)
        return lambda value: by_place(places.index(value))
    scale = Scale(axis.low, axis.high, HEIGHT - BOTTOM, TOP, log=axis.log)
    return lambda value: scale(float(value))


def _ends(axis: Axis) -> tuple[str, str]:
    return (_shown(axis.choices[0]), _shown(axis.choices[-1])) if axis.choices else (number(axis.low), number(axis.high))


def _axis(x: float, name: str, low: str, high: str) -> Markup:
    anchor = "start" if x < 60 else "end" if x > WIDTH - 60 else "middle"
    edge = 4.0 if anchor == "start" else WIDTH - 4 if anchor == "end" else x
    return Markup("").join(
        (
            line(x, TOP, x, HEIGHT - BOTTOM, "axis"),
            text(edge, 12, fitting(name, 90), anchor, "label strong"),
            text(edge, TOP - 6, fitting(high, 80), anchor, "label faint"),
            text(edge, HEIGHT - BOTTOM + 16, fitting(low, 80), anchor, "label faint"),
        )
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    return number(float(value)) if math.isfinite(float(value)) else str(value)
