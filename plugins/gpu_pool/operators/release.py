"""ReleaseGpu."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.xcom_arg import PlainXComArg

from gpu_pool.client import PoolClient, explained
from gpu_pool.operators.holding import key


class ReleaseGpu(BaseOperator):
    """Teardown: gives the lease (the output of AcquireGpu) back, whatever has become of the work. A lease that has ended is fine."""

    template_fields = ("lease",)
    ui_color = "#e3f5e1"

    def __init__(self, *, lease: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lease = lease
        self.acquired_by: str = lease.operator.task_id if isinstance(lease, PlainXComArg) else ""

    def execute(self, context: Any) -> None:
        if not self.lease:
            self._cancel(context["ti"])
            return
        with explained():
            PoolClient.connect().release(str(self.lease["lease_id"]), int(self.lease["token"]))
        self.log.info("Gave lease %s back.", self.lease["lease_id"])

    def _cancel(self, ti: Any) -> None:
        """The setup has left no lease behind; it may have died with one."""
        with explained():
            pool = PoolClient.connect()
            left = pool.find(key(ti.dag_id, ti.run_id, self.acquired_by)) if self.acquired_by else None
            if left is not None:
                pool.cancel(left.id)
        self.log.info("No lease was granted%s.", "; what was asked for is no longer wanted" if left else "")
