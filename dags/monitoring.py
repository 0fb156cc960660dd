"""One DAG a model whose requests are logged: a look at production, whether it has changed and whether it has come to harm."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.kinds.registry import kind_of
from lifecycle.operators.labels import Labels
from lifecycle.operators.monitoring import Look
from lifecycle.specs import specs

for path, spec in specs("_monitoring"):
    if "monitoring" not in kind_of(spec).tasks(spec):
        continue
    with DAG(
        dag_id=f"{spec.name}_monitoring",
        description=f"{spec.name}: what production is asked, and how well it answers",
        schedule=spec.monitor.schedule,
        catchup=False,
        max_active_runs=1,  # a look begins where the last one ended
        tags=["updraft", "monitoring"],
        default_args={"owner": spec.owner, "retries": 3, "retry_delay": timedelta(seconds=10)},
        doc_md=__doc__,
    ) as dag:
        Look(task_id="look", spec_path=str(path))
        if spec.monitor.labels:  # beside the look: a file that is wrong fails the run, and takes nobody's look
            Labels(task_id="labels", spec_path=str(path))
    globals()[dag.dag_id] = dag
