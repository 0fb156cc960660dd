"""A function of ``@task.gpu`` tells that it has saved its work, and its holder hears each time."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gpu_pool.decorators import GpuDecoratedOperator
from include.steps.checkpoints import VARIABLE, saved
from tests.waiting import until


def works() -> int:
    for _ in range(2):
        saved()
        until(lambda: not Path(os.environ[VARIABLE]).exists(), 60)
    return 42


def test_each_word_of_a_checkpoint_is_heard_once(tmp_path: Path):
    heard: list[int] = []
    lease = SimpleNamespace(environment=dict)
    holder: Any = SimpleNamespace(lease=lease, beat=lambda: None, stop=None, saved=lambda: heard.append(1))
    task = GpuDecoratedOperator(task_id="t", python_callable=works, op_args=[], op_kwargs={}, gpus=1)
    assert task._follow(holder, works, tmp_path / "saved") == 42
    assert len(heard) == 2
