"""One DAG a model, run by hand: production goes back to the version before, or to one that is named."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.spec.params import ROLLBACK_PARAMS
from lifecycle.operators.release import ReturnTo
from lifecycle.specs import params, specs

for path, spec in specs("_rollback"):
    with DAG(
        dag_id=f"{spec.name}_rollback",
        description=f"{spec.name}: take production back",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["updraft", "rollback"],
        default_args={"owner": spec.owner, "retries": 3, "retry_delay": timedelta(seconds=2)},
        doc_md=__doc__,
        params=params(ROLLBACK_PARAMS),
    ) as dag:
        ReturnTo(task_id="return_to", spec_path=str(path))
    globals()[dag.dag_id] = dag
