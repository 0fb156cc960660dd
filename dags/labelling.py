"""Two DAGs a model whose spec says what people label: a round, from the choice of rows to a run that learns from their labels; and a second
look at all that has been labelled, on a schedule, for what came late or was corrected."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, get_parsing_context

from include.kinds.registry import kind_of
from include.spec.params import LABELLING_PARAMS
from include.spec.schema import Spec
from lifecycle.operators.labelling import Choose, Export, Import, Keep, Learn, Pays, Validate, Wait
from lifecycle.specs import params, specs

RETRIES = {"retries": 4, "retry_delay": timedelta(seconds=5), "max_retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True}


def labelling(path: Path, spec: Spec) -> DAG:
    """choose → import → wait → export → validate → snapshot → lifecycle, and beside that whether choosing pays."""
    common: dict[str, Any] = {"spec_path": str(path)}
    with _dag(spec, "labelling", "a round of labelling by people", spec.label.schedule, params=params(LABELLING_PARAMS)) as dag:
        asked = Choose(task_id="choose", **common) >> Import(task_id="import", **common) >> Wait(task_id="wait", **common)
        asked >> Export(task_id="export", **common) >> Validate(task_id="validate", **common)
        kept = dag.get_task("validate") >> Keep(task_id="snapshot", **common)
        kept >> [Learn(task_id="lifecycle", **common), Pays(task_id="pays", **common)]
    return dag


def reconciling(path: Path, spec: Spec) -> DAG:
    """export → validate → snapshot → lifecycle."""
    common: dict[str, Any] = {"spec_path": str(path)}
    with _dag(spec, "labels", "labels that came late or were corrected", spec.label.reconcile) as dag:
        read = Export(task_id="export", by_itself=True, **common) >> Validate(task_id="validate", **common)
        read >> Keep(task_id="snapshot", **common) >> Learn(task_id="lifecycle", **common)
    return dag


def _dag(spec: Spec, name: str, about: str, schedule: str | None, **more: Any) -> DAG:
    return DAG(
        dag_id=f"{spec.name}_{name}",
        description=f"{spec.name}: {about}",
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        tags=["updraft", "labelling"],
        default_args={"owner": spec.owner, **RETRIES},
        doc_md=__doc__,
        **more,
    )


# All specs are read once; of a task that is run, the one of its model, whichever of the two DAGs is its own.
of_one = specs("_labels") if get_parsing_context().dag_id is not None else ()
for spec_path, model_spec in (*specs("_labelling"), *of_one):
    if "labelling" in kind_of(model_spec).tasks(model_spec):
        globals()[f"{model_spec.name}_labelling"] = labelling(spec_path, model_spec)
        globals()[f"{model_spec.name}_labels"] = reconciling(spec_path, model_spec)
