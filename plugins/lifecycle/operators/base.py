"""The base of the lifecycle's operators."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.verdict import Decision, Verdict
from lifecycle.run import Run, told


class LifecycleOperator(BaseOperator):
    """One task of one model's lifecycle. Subclasses say in :meth:`run` what it does; their result is small, JSON-able, and the XCom.

    Errors that a retry can't mend fail the task at once; others are retried by Airflow.
    """

    ui_color = "#e8f1fb"
    waited_s = 0.0
    """Part of :meth:`run` that was spent waiting and not working (seconds): what `make bench-lifecycle` counts as overhead."""

    def __init__(self, *, spec_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec_path = spec_path

    def execute(self, context: Any) -> Any:
        started, self.waited_s = time.monotonic(), 0.0
        with told():
            result = self.run(Run.of(context, self.spec_path), context)
        context["ti"].xcom_push(key="work_s", value=round(time.monotonic() - started - self.waited_s, 3))
        return result

    def run(self, run: Run, context: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def pulled(self, context: Mapping[str, Any], task_id: str) -> dict[str, Any]:
        """What another task of this run has returned."""
        value = context["ti"].xcom_pull(task_ids=task_id)
        return dict(value) if value else {}

    def insist(self, verdict: Verdict) -> None:
        """Log every rule of a verdict, and fail the task for good unless it passed."""
        for rule in verdict.rules:
            mark = {True: "passed", False: "FAILED", None: "undecided"}[rule.passed]
            self.log.info("%-9s %s: %s (bar: %s) %s", mark, rule.name, rule.figure, rule.bar, rule.detail)
        if verdict.decision is not Decision.PASS:
            raise AirflowFailException("; ".join(verdict.reasons))
