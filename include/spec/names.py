"""Names that many rooms know: of a model's DAGs, and of the platform's own run parameters with the spec field that each stands for."""

from __future__ import annotations

DAGS = ("lifecycle", "rollback", "monitoring", "batch", "labelling", "labels")
"""Ends of the names of a model's DAGs, behind its own name and `_`."""
DAG_ENDS = tuple(f"_{name}" for name in DAGS)
OVERRIDES: dict[str, tuple[str, str]] = {
    "train_workers": ("train", "workers"),
    "min_score": ("gate", "min_score"),
    "approval": ("gate", "approval"),
    "canary_steps": ("canary", "steps"),
    "canary_step_s": ("canary", "step_s"),
    "canary_look_s": ("canary", "look_s"),
    "canary_min_requests": ("canary", "min_requests"),
    "canary_on_inconclusive": ("canary", "on_inconclusive"),
    "canary_max_error_rate": ("canary", "max_error_rate"),
}
WORKERS = "train_workers"
"""Of models whose training a launcher starts."""
DATA_SOURCE = "data_source"
BASE_MODEL = "base_model"
"""Of language models only."""
PLATFORM_PARAMS = (DATA_SOURCE, *OVERRIDES)
