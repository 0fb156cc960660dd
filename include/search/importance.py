"""Which of the searched parameters mattered: PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), as Optuna reckons it."""

from __future__ import annotations

from collections.abc import Sequence

from include.search.plan import Plan, SearchState, Trial
from include.search.sampler import study_of

FEWEST = 4
"""With fewer complete trials nothing can be told."""


def importance(plan: Plan, trials: Sequence[Trial]) -> dict[str, float]:
    """Return the share of each parameter in whether a trial was among the best, the largest first; empty where nothing can be told."""
    values = {trial.value for trial in trials if trial.state is SearchState.COMPLETE}
    if len(values) < FEWEST:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    known = [trial for trial in trials if trial.state is SearchState.COMPLETE]
    found = get_param_importances(study_of(plan, known), evaluator=PedAnovaImportanceEvaluator())
    return {name: float(value) for name, value in found.items()}
