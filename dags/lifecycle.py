"""One DAG a model: from its data to production. What runs when; what each task does is in plugins/lifecycle/operators."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict

from include.kinds.registry import kind_of
from include.kinds.run_params import run_params
from include.spec.schema import Spec
from lifecycle.operators.approval import Approve, Hold
from lifecycle.operators.canary import Canary
from lifecycle.operators.data import Base, SnapshotData, ValidateData
from lifecycle.operators.gate import Evaluate, Gate
from lifecycle.operators.judge import Judge
from lifecycle.operators.load_test import LoadTest
from lifecycle.operators.optimize import Optimize, Train, Verify
from lifecycle.operators.release import Deploy, Promote, Register, Rollback, Settle
from lifecycle.operators.report import Report
from lifecycle.operators.search import Search, SearchPlan, SearchTrial
from lifecycle.schedule import schedule
from lifecycle.specs import params, specs

RETRIES = {"retries": 4, "retry_delay": timedelta(seconds=2), "max_retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True}


def lifecycle(path: Path, spec: Spec) -> DAG:
    """validate_data → snapshot_data → train → evaluate → gate → optimize → deploy → canary → promote or rollback, and a report."""
    with DAG(
        dag_id=f"{spec.name}_lifecycle",
        description=spec.description or f"{spec.name}: from its data to production",
        schedule=schedule(spec),
        catchup=False,
        max_active_runs=1,
        tags=["updraft", spec.task, *spec.tags],
        default_args={"owner": spec.owner, **RETRIES},
        doc_md=__doc__,
    ) as dag:
        common = {"spec_path": str(path)}
        step = {**common, "pool": "updraft_steps"}
        validate_data = ValidateData(task_id="validate_data", **step)
        snapshot_data = SnapshotData(task_id="snapshot_data", **common)
        train = Train(task_id="train", **step)
        evaluate = Evaluate(task_id="evaluate", **step)
        gate = Gate(task_id="gate", **common)
        approve = Approve(task_id="approve", response_timeout=timedelta(hours=spec.gate.approval_timeout_hours))
        optimize = Optimize(task_id="optimize", trigger_rule="none_failed", **step)  # approve is skipped where nobody is asked
        verify = Verify(task_id="verify", **step)
        register = Register(task_id="register", **common)
        deploy = Deploy(task_id="deploy", **common)
        canary = Canary(task_id="canary", **common)
        hold = Hold(task_id="hold")
        promote = Promote(task_id="promote", trigger_rule="none_failed_min_one_success", **common)
        rollback = Rollback(task_id="rollback", trigger_rule="none_failed_min_one_success", **common)
        settle = Settle(task_id="settle", **common).as_teardown()
        report = Report(task_id="report", **common).as_teardown()

        wanted = kind_of(spec).tasks(spec)
        if "base" in wanted:
            Base(task_id="base", **step) >> validate_data
        if "load_test" in wanted:
            deploy >> LoadTest(task_id="load_test", **common) >> canary
        else:
            deploy >> canary
        if "judge" in wanted:
            evaluate >> Judge(task_id="judge", **common) >> gate
        else:
            evaluate >> gate
        if "search" in wanted:
            plan = SearchPlan(task_id="search_plan", **common)
            # At the lowest priority, so that the steps of other runs go first; one wins or not, the search goes on behind them all.
            low = {**step, "max_active_tis_per_dagrun": spec.train.search.parallel, "priority_weight": 1, "weight_rule": "absolute"}
            trial = SearchTrial.partial(task_id="search_trial", **low).expand(number=plan.output)
            search = Search(task_id="search", trigger_rule="all_done", **step)
            snapshot_data >> plan >> trial >> search >> train
        else:
            snapshot_data >> train
        validate_data >> snapshot_data
        train >> evaluate
        gate >> approve >> optimize >> verify >> register >> deploy
        canary >> [promote, rollback, hold]
        hold >> [promote, rollback]
        [promote, rollback] >> settle >> report
    # Set last: Airflow copies a DAG's params into every task made after them, and validates each copy whenever the DAG is stored.
    dag.params = ParamsDict(params(run_params(spec)))
    return dag


for spec_path, model_spec in specs("_lifecycle"):
    globals()[f"{model_spec.name}_lifecycle"] = lifecycle(spec_path, model_spec)
