"""DAGs as an author writes them who wants GPUs, and a model whose training asks for a share of one."""

from __future__ import annotations

from pathlib import Path

from tests.journey import newcomer

DAGS = """\
from datetime import timedelta

from airflow.sdk import DAG, task

from gpu_pool.holder import use_lease
from gpu_pool.operators.acquire import gpu_lease

with DAG("gpu_function", schedule=None, params={"seconds": 0.0, "memory": "20GiB", "end": "return"}):

    @task.gpu(memory="{{ params.memory }}", priority=5, retries=2, retry_delay=timedelta(seconds=1))
    def work(params=None):
        import os
        import time

        print("begun by process", os.getpid(), flush=True)
        try:
            time.sleep(params["seconds"])
        finally:
            print("put away", flush=True)
        if params["end"] == "raise":
            raise ValueError("the function's own mistake")
        return {name: value for name, value in os.environ.items() if "GPU" in name or "VISIBLE" in name}

    work()

with DAG("gpu_around", schedule=None, params={"end": "return"}):

    @task
    def inside(lease, params=None):
        import os

        with use_lease(lease) as used:
            if params["end"] == "raise":
                raise ValueError("the task's own mistake")
            return [os.environ["CUDA_VISIBLE_DEVICES"], os.environ["UPDRAFT_GPU_LEASE"], used.stop_wanted.is_set()]

    @task
    def after(lease):
        return lease["devices"]

    with gpu_lease(fraction=0.5, duration=timedelta(minutes=10)) as lease:
        inside(lease) >> after(lease)
"""

RESOURCES = """\
  resources: {fraction: 0.3, priority: 4, grace_s: 20}
"""

TRAIN = """\
import os
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression


def train(X, y, params):
    kept = Path(os.environ["UPDRAFT_CHECKPOINTS"]) / "epochs"
    done = int(kept.read_text()) if kept.exists() else 0
    print(f"begun by process {os.getpid()} at epoch {done} on {os.environ['CUDA_VISIBLE_DEVICES']}", flush=True)
    try:
        while done < params["seconds"] * 10:
            time.sleep(0.1)
            done += 1
    finally:
        kept.write_text(str(done))
    return LogisticRegression(C=params["strength"], max_iter=5000).fit(X, y)
"""


def write(models: Path, leased: str, dags: Path) -> None:
    """The DAGs into ``dags``, the model ``leased`` into ``models``."""
    dags.mkdir()
    (dags / "gpus.py").write_text(DAGS)
    (newcomer.write(models, leased, train=RESOURCES) / "train.py").write_text(TRAIN)
