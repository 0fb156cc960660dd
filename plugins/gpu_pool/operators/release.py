"""ReleaseGpu."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from gpu_pool.client import PoolClient, explained


class ReleaseGpu(BaseOperator):
    """Teardown: gives the lease (the output of AcquireGpu) back, whatever has become of the work. A lease that has ended is fine."""

    template_fields = ("lease",)
    ui_color = "#e3f5e1"

    def __init__(self, *, lease: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lease = lease

    def execute(self, context: Any) -> None:
        if not self.lease:
            self.log.info("No lease was granted.")
            return
        with explained():
            PoolClient.connect().release(str(self.lease["lease_id"]), int(self.lease["token"]))
        self.log.info("Gave lease %s back.", self.lease["lease_id"])
