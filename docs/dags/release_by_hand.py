"""A release in a DAG of one's own: a registered version is deployed, looked at, given a tenth of the traffic, then all of it.

Copy it to `dags/`. A trial by the judge instead of the two shares: `RunCanary(task_id="trial", model=..., version=...)`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from lifecycle.operators.serving import DeployRevision, SetTraffic, StopRevision, WaitForHealthy

MODEL = "digits"
OLD, NEW = "{{ params.old }}", "{{ params.new }}"

with DAG(
    dag_id="release_by_hand",
    schedule=None,
    catchup=False,
    tags=["example"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    params={
        "old": Param(1, type="integer", minimum=1, description="The version that serves now."),
        "new": Param(2, type="integer", minimum=1, description="The registered version that is to serve."),
    },
) as dag:
    deploy = DeployRevision(task_id="deploy", model=MODEL, version=NEW, why="The new release.")
    ready = WaitForHealthy(task_id="ready", model=MODEL, version=NEW, timeout=timedelta(minutes=10))
    tenth = SetTraffic(task_id="tenth", model=MODEL, weights={OLD: 90, NEW: 10}, why="A tenth first.")
    all_of_it = SetTraffic(task_id="all_of_it", model=MODEL, weights={NEW: 100}, promote=True, why="Nobody complained.")
    stop = StopRevision(task_id="stop", model=MODEL, version=OLD, why="Succeeded.")
    deploy >> ready >> tenth >> all_of_it >> stop
