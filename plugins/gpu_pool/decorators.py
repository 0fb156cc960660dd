"""``@task.gpu``: a function that runs with GPUs of the pool."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator, is_async_callable, task_decorator_factory

from gpu_pool.child import Child, stop
from gpu_pool.client import explained
from gpu_pool.holder import Holder
from gpu_pool.operators.asking import Asking, ask_of, taken
from gpu_pool.operators.holding import HoldsGpu, MustStop
from include.errors import InputError
from include.steps import checkpoints

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import TaskDecorator

WAIT_S = 0.5


class GpuDecoratedOperator(HoldsGpu, DecoratedOperator, PythonOperator):
    """Waits for its GPUs deferred, then calls the function in a process of its own, with ``CUDA_VISIBLE_DEVICES`` and the like set.

    When the pool wants the devices back, the function gets SIGTERM (SystemExit, unless it handles the signal), is killed at the notice's
    deadline, and the task goes back to the queue: it starts anew later, and no retry is spent. Changes that the function makes to objects
    of this process (outlet events among them) stay in its own; what it returns and raises comes back.
    """

    template_fields = ("templates_dict", "op_args", "op_kwargs", "asking")
    template_fields_renderers = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}  # noqa: RUF012
    custom_operator_name = "@task.gpu"
    ui_color = "#e3f5e1"

    def __init__(
        self, *, python_callable: Callable[..., Any], op_args: Collection[Any], op_kwargs: Mapping[str, Any], **kwargs: Any
    ) -> None:
        self.asking: Asking = taken(kwargs)
        upstream = {"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs}
        super().__init__(kwargs_to_upstream=upstream, python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)
        with explained():
            if is_async_callable(python_callable):
                raise InputError("is asynchronous.", where=f"@task.gpu {self.task_id}", remedy="Write a plain function.")
        if "{{" not in str(self.asking):
            ask_of(self.asking, f"@task.gpu {self.task_id}")
        self._child: Child | None = None

    def execute(self, context: Any) -> Any:
        ask = ask_of(self.asking, f"@task.gpu {self.task_id}")
        return self.with_gpu(context, ask, lambda holder: self._under(holder, context))

    def _under(self, holder: Holder, context: Any) -> Any:
        self._using = holder
        return super().execute(context)

    def execute_callable(self) -> Any:
        """Called by PythonOperator when it knows the function's arguments."""
        holder, call = self._using, super().execute_callable
        with TemporaryDirectory(prefix="updraft-gpu-") as folder:
            return self._follow(holder, call, Path(folder) / checkpoints.FILE)

    def _follow(self, holder: Holder, call: Callable[[], Any], told: Path) -> Any:
        """The function's result; a file says that it has saved its work."""
        self._child = child = Child(call, holder.lease.environment() | {checkpoints.VARIABLE: str(told)})
        try:
            while not child.wait(WAIT_S):
                if told.exists():
                    told.unlink()
                    holder.saved()
                if holder.beat() is not None:
                    stop(child, lambda: holder.seconds_left)
            if holder.stop is not None and not child.returned:
                raise MustStop(holder.stop)
            with explained():
                return child.result()
        finally:
            child.kill()
            self._child = None

    def on_kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self.release_gpu()


def gpu_task(python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.gpu(memory="20GiB", priority=7)``; the arguments are those of :class:`gpu_pool.operators.asking.Asking` and of any task."""
    return task_decorator_factory(
        python_callable=python_callable, multiple_outputs=multiple_outputs, decorated_operator_class=GpuDecoratedOperator, **kwargs
    )
