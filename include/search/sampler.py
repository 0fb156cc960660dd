"""What is tried next: Optuna asked over Updraft's own trials.

The sampler keeps nothing between two questions. It is rebuilt from the trials each time, and draws from a seed that is the plan's and the
trial's number: so the answer is the same in every try, on every machine, after any crash. A trial knows how those ended that began
``parallel`` or more before it, and of those between what they try: so it is the same, too, however long each takes.

Optuna is loaded when a question is asked that needs it, never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from include.search.plan import Axis, Plan, SearchState, Trial, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

ATTEMPTS = 8
"""So often is something else asked where the same parameters have been tried already."""


def ask(plan: Plan, trials: Sequence[Trial]) -> dict[str, Value]:
    """Return the parameters of the trial that follows ``trials`` (all before it, by number), of the searched ones.

    Raises ValueError when a trial that it must know the end of has not ended.
    """
    number = len(trials)
    before = known(plan, trials)
    if number == 0:
        return dict(plan.first)
    if plan.sampler == "grid":
        return plan.points()[number - 1]
    tried = [dict(trial.params) for trial in trials]
    found: dict[str, Value] = {}
    for attempt in range(ATTEMPTS):
        found = _SAMPLERS[plan.sampler](plan, before, attempt)
        if found not in tried or plan.sampler == "cmaes":
            break
    return found


def known(plan: Plan, trials: Sequence[Trial]) -> list[Trial]:
    """Return what the trial that follows ``trials`` may know of them: how the early ones ended, and what the others try."""
    ended = plan.known_at(len(trials))
    for trial in trials[:ended]:
        if trial.state is SearchState.RUNNING:
            raise ValueError(f"trial {trial.number} has not ended")
    later = [Trial(trial.number, trial.params) for trial in trials[ended:]]
    return [*trials[:ended], *later]


def _seed(plan: Plan, number: int, attempt: int) -> int:
    return int.from_bytes(blake2b(f"{plan.seed}/{number}/{attempt}".encode(), digest_size=4).digest(), "big") >> 1


def _random(plan: Plan, before: Sequence[Trial], attempt: int) -> dict[str, Value]:
    from optuna.samplers import RandomSampler

    return _asked(_study(plan, RandomSampler(seed=_seed(plan, len(before), attempt))), plan)


def _tpe(plan: Plan, before: Sequence[Trial], attempt: int) -> dict[str, Value]:
    from optuna.samplers import TPESampler

    study = _study(plan, TPESampler(seed=_seed(plan, len(before), attempt)))
    study.add_trials([_as_optuna(plan, trial) for trial in before if trial.state is not SearchState.LEFT_OUT])
    return _asked(study, plan)


def _cmaes(plan: Plan, before: Sequence[Trial], _: int) -> dict[str, Value]:
    """The evolution strategy has a state of its own, which is never stored: it is lived through again from the first trial on."""
    from optuna.samplers import CmaEsSampler, RandomSampler

    independent = RandomSampler(seed=_seed(plan, 0, 0))
    study = _study(plan, CmaEsSampler(seed=_seed(plan, 0, 1), independent_sampler=independent, warn_independent_sampling=False))
    live: dict[int, Any] = {}
    for trial in before:
        live[trial.number] = _replayed(study, plan, trial)
        gone = plan.known_at(trial.number + 1) - 1
        if gone in live:
            _tell(study, live.pop(gone), before[gone])
    return _asked(study, plan)


_SAMPLERS = {"random": _random, "tpe": _tpe, "cmaes": _cmaes}


def _study(plan: Plan, sampler: Any) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, direction="maximize" if plan.maximize else "minimize")


def _asked(study: Study, plan: Plan) -> dict[str, Value]:
    found = study.ask(distributions(plan)).params
    return {name: _on_grid(axis, found[name]) for name, axis in plan.axes.items()}


def _replayed(study: Study, plan: Plan, trial: Trial) -> Any:
    if trial.number == 0:
        study.enqueue_trial(dict(trial.params))
    return study.ask(distributions(plan))


def _tell(study: Study, asked: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.state is SearchState.COMPLETE:
        study.tell(asked, trial.value)
    else:
        study.tell(asked, state=TrialState.FAIL)


def distributions(plan: Plan) -> dict[str, BaseDistribution]:
    """Return the plan's axes in Optuna's form."""
    return {name: _distribution(axis) for name, axis in plan.axes.items()}


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choices:
        return CategoricalDistribution(axis.choices)
    if axis.whole:
        step = round(axis.step or 1)
        return IntDistribution(round(axis.low), round(axis.low) + (round(axis.high) - round(axis.low)) // step * step, axis.log, step)
    return FloatDistribution(axis.low, axis.high, axis.log, axis.step)


def study_of(plan: Plan, trials: Sequence[Trial]) -> Study:
    """Return Optuna's study of all ``trials``, in memory: for what Optuna can tell of it."""
    from optuna.samplers import RandomSampler

    study = _study(plan, RandomSampler(seed=plan.seed))
    study.add_trials([_as_optuna(plan, trial) for trial in trials if trial.state is not SearchState.LEFT_OUT])
    return study


def _as_optuna(plan: Plan, trial: Trial) -> Any:
    from optuna.trial import TrialState, create_trial

    ended = {
        SearchState.RUNNING: TrialState.RUNNING,
        SearchState.COMPLETE: TrialState.COMPLETE,
        SearchState.PRUNED: TrialState.PRUNED,
        SearchState.FAILED: TrialState.FAIL,
    }
    state = ended[trial.state]
    return create_trial(
        state=state,
        value=trial.value if state is TrialState.COMPLETE else None,
        params={name: _on_grid(axis, trial.params[name]) for name, axis in plan.axes.items()},
        distributions=distributions(plan),
        intermediate_values=dict(trial.steps),
    )


def _on_grid(axis: Axis, value: Value) -> Value:
    """The value that a sampler may think of: between two steps, as the run's own may lie, the nearer one. Its point of the grid is written
    in decimals: what Optuna adds up may be 0.30000000000000004."""
    if axis.choices or isinstance(value, bool | str) or not (axis.step or axis.whole):
        return value
    return axis.point(min(round((value - axis.low) / (axis.step or 1)), axis.last))
