"""The platform's own backup, on the schedule of `make backup-plan`: taken, restored in isolation until the champions have answered their
golden inputs, and the old ones dropped. docs/backup.md."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import DAG

from include.backup.plan import DAG_ID, read
from include.errors import InputError
from include.runtime.settings import Settings
from lifecycle.operators.backup import ProveBackup, PruneBackups, TakeBackup

try:
    plan = read(Settings.load().home / "backup")
except InputError as error:  # a run says it too
    logging.getLogger(__name__).warning("%s", error)
    plan = None

with DAG(
    dag_id=DAG_ID,
    description="Updraft: back the platform up, and prove it",
    schedule=plan.at if plan else None,
    catchup=False,
    max_active_runs=1,
    tags=["updraft", "backup"],
    default_args={"owner": "updraft", "retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
) as dag:
    TakeBackup(task_id="take") >> ProveBackup(task_id="prove") >> PruneBackups(task_id="prune")
