"""What shall serve beside what does, in the log of `show`; `repair` has tried at once what would be tried again later. By hand.

The keeper does the same by itself, every second; it does what is wanted, whoever runs this DAG.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from lifecycle.operators.serving import Reconcile

with DAG(
    dag_id="serving_reconcile",
    description="What shall serve beside what does, and a repair by hand",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["updraft", "serving"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=2)},
    doc_md=__doc__,
    params={
        "model": Param("", type="string", pattern="^([a-z][a-z0-9_]{0,47})?$", description="One model. Empty: all of them."),
        "why": Param("", type="string", maxLength=500, description="Kept with the repair, and shown to everybody."),
    },
) as dag:
    show = Reconcile(task_id="show", model="{{ params.model }}")
    show >> Reconcile(task_id="repair", model="{{ params.model }}", why="{{ params.why }}", repair=True)
