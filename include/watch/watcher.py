"""The watch as it runs: reads the gateway's log, takes every champion's tests a look further, moves traffic, says what shall be kept.

It waits for nobody but the gateway: what MLflow and Airflow know, and what they are to do, goes by the :class:`Desk`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from include.canary.observations import Arm, Look
from include.canary.trial import Trial
from include.errors import UpdraftError
from include.gateway.gateway import Gateway
from include.gateway.observe import MIRROR, Entry, arm, end_of, read_entries
from include.gateway.table import Split
from include.serving.revisions import Revisions
from include.spec.schema import Spec, WatchMode
from include.verdict import Decision, Verdict
from include.watch import verdicts
from include.watch.life import Bounds, Life
from include.watch.state import DAY_S, OnTrial, Return, State, Watched

KIND = "watch"
"""Of the verdicts."""
RUN_PREFIX = "watch__"
"""Runs of a rollback DAG that the watch has begun."""
SAVED_EVERY_S = 10.0
GAP_S = 60.0
"""What the log holds is judged unless the watch was away for longer than this: then it is news no more."""


@dataclass(frozen=True)
class Facts:
    """What others know of a model: which version is ``champion`` and which was before; what its trial has shown (``past``; None: not known
    yet), and why the watch must not act on its own (``held``, empty if it may)."""

    champion: int
    previous: int | None
    past: Arm | None
    held: str


class Desk(Protocol):
    """Who asks MLflow and Airflow, meanwhile."""

    def facts(self, model: str) -> Facts | None:
        """Return what is known of a model by now, None for nothing."""

    def refresh(self, model: str) -> None:
        """Ask anew soon: production has changed."""

    def carry(self, state: State) -> set[str]:
        """Take over what is to be kept and to be begun; the keys of the verdicts that have been kept."""


class Watcher:
    """All models of one gateway. Killed at any moment, it goes on from what it has saved to ``path``."""

    def __init__(self, gateway: Gateway, revisions: Revisions, desk: Desk, path: Path, say: Callable[[str], None] = print) -> None:
        self._gateway, self._revisions, self._desk, self._path, self._say = gateway, revisions, desk, path, say
        self.state = State.load(path)
        self._arms: dict[str, tuple[Arm, Arm]] = {}
        self._saved_s = 0.0

    def round(self, specs: Mapping[str, Spec], now_s: float) -> None:
        """Look once at every model in ``specs`` that is to be watched; ``now_s``: seconds since the epoch."""
        before = self.state
        watched = {name: spec for name, spec in specs.items() if spec.monitor.watch is not WatchMode.OFF}
        lent = {name: known for name, known in before.models.items() if name not in watched and not self._given_back(name, known)}
        entries: list[Entry] = []
        cursor, seconds = before.cursor, now_s - before.at_s
        if not watched or not 0 < seconds <= GAP_S:
            cursor, seconds = end_of(self._gateway.access_log), 0.0
        else:
            entries, cursor = read_entries(self._gateway.access_log, before.cursor)
        models = dict(lent)
        for name, spec in watched.items():
            known = before.models.get(name, Watched())
            try:
                models[name] = self._model(name, spec, known, entries, seconds, now_s)
            except UpdraftError as error:
                self._say(f"{name}: {error}")
                models[name] = self.state.models.get(name, known)  # what was kept before the traffic was to move
        self.state = replace(self.state, cursor=cursor, at_s=now_s, models=models)
        kept = self._desk.carry(self.state)
        self.state = replace(self.state, unsent=tuple(one for one in self.state.unsent if one["run_key"] not in kept))
        at = [(one.trial, one.returning, one.acts) for one in models.values()]
        was = [(one.trial, one.returning, one.acts) for one in before.models.values()]
        if at != was or self.state.unsent != before.unsent or now_s - self._saved_s >= SAVED_EVERY_S:
            self._save(now_s)

    def _save(self, now_s: float) -> None:
        try:
            self.state.save(self._path)
            self._saved_s = now_s
        except OSError as error:
            self._say(f"What the watch knows could not be kept: {error}")

    def _model(self, name: str, spec: Spec, known: Watched, entries: list[Entry], seconds: float, now_s: float) -> Watched:
        if known.returning is not None:
            return self._returning(name, known)
        if known.trial is not None:
            return self._trial(name, spec, known, entries, now_s)
        return self._watching(name, spec, known, entries, seconds, now_s)

    # Watching

    def _watching(self, name: str, spec: Spec, known: Watched, entries: list[Entry], seconds: float, now_s: float) -> Watched:
        facts, bounds = self._desk.facts(name), Bounds(spec.canary.max_error_rate, spec.canary.latency_tolerance)
        split = self._gateway.split(name)
        if facts is None or split != _alone(facts.champion):
            if split is not None and len(split.weights) == 1:
                self._desk.refresh(name)
            return known  # nothing serves, or another version is on trial: that has a judge of its own
        life = known.life
        if life is None or life.version != facts.champion:
            if facts.past is None:
                return known
            self._say(f"{name}: version {facts.champion} is watched; {facts.past.requests} requests of it were accepted before.")
            return replace(known, life=Life.start(facts.champion, facts.past, bounds), reported=None)
        if seconds <= 0:
            return known
        life = life.observe(arm(entries, name, str(facts.champion)), seconds, bounds)
        known = replace(known, life=life)
        if life.suspected() and self._hindrance(spec, known, facts, now_s) == "" and (back := self._standing_by(name, facts, now_s)):
            return self._suspect(name, spec, known, back, now_s)
        if life.proved() and known.reported != life.version:
            return self._proved(name, spec, known, facts, now_s)
        return known

    def _hindrance(self, spec: Spec, known: Watched, facts: Facts, now_s: float) -> str:
        """Why the watch does not act, empty if it may."""
        monitor, acts = spec.monitor, [act for act in known.acts if now_s - act < DAY_S]
        if monitor.watch is not WatchMode.ROLLBACK:
            return "monitor.watch is `notify`."
        if facts.previous is None:
            return "no version was champion before."
        if facts.previous in known.condemned:
            return f"version {facts.previous} was taken out by the watch itself."
        if facts.held:
            return facts.held
        if acts and now_s - acts[-1] < monitor.cool_down_s:
            return f"production was taken back {now_s - acts[-1]:.0f} s ago, and monitor.cool_down_s is {monitor.cool_down_s:g}."
        if len(acts) >= monitor.max_a_day:
            return f"production was taken back {len(acts)} times within a day, and monitor.max_a_day is {monitor.max_a_day}."
        return ""

    def _standing_by(self, name: str, facts: Facts, now_s: float) -> int | None:
        """The version before, if it could answer at once."""
        revision = self._revisions.find(name, str(facts.previous))
        if revision is None or revision.version not in self._gateway.revisions(name):
            return None
        if (self._revisions.standby(revision) or 0.0) < now_s + verdicts.TRIAL_S:
            return None
        return facts.previous if self._revisions.ready(revision) else None

    def _suspect(self, name: str, spec: Spec, known: Watched, previous: int, now_s: float) -> Watched:
        """The version before answers callers, and the champion is asked the same: no caller pays for the proof."""
        life = known.life
        assert life is not None
        trial = OnTrial(previous, now_s, verdicts.trial_plan(spec.canary, life.suspicions + 1, life.rate))
        known = replace(known, trial=trial)
        # Kept before the traffic moves: who is killed in between knows whose traffic it is.
        self.state = replace(self.state, models={**self.state.models, name: known})
        self._save(now_s)
        if not self._move(name, _alone(life.version), _tried(previous, life.version)):
            return replace(known, trial=None)
        self._say(f"{name}: version {life.version} is suspected ({', '.join(life.suspected())}); {previous} answers meanwhile.")
        return known

    def _proved(self, name: str, spec: Spec, known: Watched, facts: Facts, now_s: float) -> Watched:
        """No version stands by to compare with, or nothing may be done."""
        assert known.life is not None
        found = verdicts.evidence(known.life, facts.previous, None, (), self._hindrance(spec, known, facts, now_s))
        return self._conclude(name, replace(known, reported=known.life.version), found, now_s)

    # A trial

    def _trial(self, name: str, spec: Spec, known: Watched, entries: list[Entry], now_s: float) -> Watched:
        trial, life = known.trial, known.life
        assert trial is not None and life is not None
        stable, canary = str(trial.previous), str(life.version)
        if self._gateway.split(name) != _tried(trial.previous, life.version):
            self._say(f"{name}: production was changed while version {canary} was on trial.")
            return self._afterwards(name, known)
        before = self._arms.get(name, (Arm(), Arm()))
        arms = before[0] + arm(entries, name, stable), before[1] + arm(entries, name, canary, MIRROR)
        last_s = trial.looks[-1].at_s if trial.looks else 0.0
        at_s = min(now_s - trial.since_s, last_s + 2 * trial.plan.look_s)
        if at_s - last_s < trial.plan.look_s:
            self._arms[name] = arms
            return known
        self._arms.pop(name, None)
        look = Look(at_s=at_s, step=0, weight=50, stable=_bare(arms[0]), canary=_bare(arms[1]))
        trial = replace(trial, looks=(*trial.looks, look))
        known = replace(known, trial=trial)
        if not verdicts.over(_judged(trial)):
            return known
        facts = self._desk.facts(name)
        hindrance = self._hindrance(spec, known, facts, now_s) if facts else "the registry does not answer."
        return self._conclude(name, known, verdicts.evidence(life, trial.previous, trial.plan, trial.looks, hindrance), now_s)

    def _conclude(self, name: str, known: Watched, found: verdicts.Json, now_s: float) -> Watched:
        assert known.life is not None
        verdict, life = verdicts.verdict(found), known.life
        since_s = known.trial.since_s if known.trial else now_s  # tried again, it is the same act
        run_id = f"{RUN_PREFIX}v{life.version}__{life.suspicions + 1}__{int(since_s)}"
        self._keep(name, f"{name}_rollback/{run_id}", verdict, life.version)
        self._say(f"{name}: {verdict.decision.value}: {' '.join(verdict.reasons)}")
        if verdict.decision is not Decision.ROLLBACK:
            return self._back(name, known) if known.trial else known
        back = Return(life.version, int(found["previous"]), run_id, f"The watch found harm. {verdict.reasons[0]}"[:900])
        self._desk.refresh(name)
        return replace(known.acted(now_s, life.version), returning=back)

    def _move(self, name: str, before: Split, after: Split) -> bool:
        """Move the traffic, unless somebody else has done so: whose it is then."""
        return self._gateway.exchange_split(name, before, after)

    def _keep(self, name: str, run_key: str, verdict: Verdict, version: int) -> None:
        if any(one["run_key"] == run_key for one in self.state.unsent):
            return
        body = {"run_key": run_key, "kind": KIND, "model": name, "version": version, "decision": verdict.decision.value}
        self.state = replace(self.state, unsent=(*self.state.unsent, {**body, "body": verdict.to_json()}))

    def _back(self, name: str, known: Watched) -> Watched:
        """The trial found nothing, or nothing may be done: the champion answers again."""
        assert known.life is not None and known.trial is not None
        self._move(name, _tried(known.trial.previous, known.life.version), _alone(known.life.version))
        return self._afterwards(name, known)

    def _afterwards(self, name: str, known: Watched) -> Watched:
        assert known.life is not None
        self._arms.pop(name, None)
        self._desk.refresh(name)
        return replace(known, trial=None, life=known.life.cleared())

    def _given_back(self, name: str, known: Watched) -> bool:
        """Give back what the watch has lent of a model that is to be watched no more; False if the gateway does not take it now."""
        if known.trial is None or known.life is None:
            return True
        try:
            self._move(name, _tried(known.trial.previous, known.life.version), _alone(known.life.version))
        except UpdraftError as error:
            self._say(f"{name}: {error}")
            return False
        return True

    # The way back

    def _returning(self, name: str, known: Watched) -> Watched:
        """Until the rollback DAG has made the version before the champion; whoever makes another one champion ends it too."""
        back = known.returning
        assert back is not None
        # Only now, when it is kept that production goes back; the copies have done their work.
        self._move(name, _tried(back.version, back.champion), _alone(back.version))
        facts = self._desk.facts(name)
        if facts is None or facts.champion == back.champion:
            self._desk.refresh(name)
            return known
        self._say(f"{name}: version {facts.champion} is champion.")
        return replace(known, returning=None, life=None)


def _alone(version: int) -> Split:
    return Split({str(version): 100})


def _tried(previous: int, champion: int) -> Split:
    """The version before answers callers, and the champion gets a copy of every request."""
    return Split({str(previous): 100}, mirror=str(champion))


def _bare(found: Arm) -> Arm:
    """Without what a language model's answers were like: errors and times are judged here."""
    return Arm(found.requests, found.errors, found.latencies, refused=found.refused)


def _judged(trial: OnTrial) -> Trial:
    found = Trial.start(trial.plan)
    for look in trial.looks:
        found = found.observe(look)
    return found
