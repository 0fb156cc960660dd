"""One DAG a model: a file of prompts or rows in, a folder of answers out, with what the server has left over from live traffic."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from include.kinds.registry import kind_of
from include.spec.schema import Spec
from lifecycle.operators.batch import Answer, Collect, Prepare
from lifecycle.specs import params, specs

RETRIES = {"retries": 4, "retry_delay": timedelta(seconds=5), "max_retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True}


def batch(path: Path, spec: Spec) -> DAG:
    """prepare → answer, a task a shard, one after the other → collect."""
    form = kind_of(spec).batch(spec)
    with DAG(
        dag_id=f"{spec.name}_batch",
        description=f"{spec.name}: answers to a file of {form.what}",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["updraft", "batch"],
        default_args={"owner": spec.owner, **RETRIES},
        doc_md=__doc__,
        params=params(form.params),
    ) as dag:
        common = {"spec_path": str(path)}
        prepare = Prepare(task_id="prepare", **common)
        # One shard fills what room the server has; more at once would only ask for the same room.
        answer = Answer.partial(task_id="answer", max_active_tis_per_dagrun=1, **common).expand(shard=prepare.output)
        answer >> Collect(task_id="collect", **common)
    return dag


for spec_path, model_spec in specs("_batch"):
    if "batch" in kind_of(model_spec).tasks(model_spec):
        globals()[f"{model_spec.name}_batch"] = batch(spec_path, model_spec)
