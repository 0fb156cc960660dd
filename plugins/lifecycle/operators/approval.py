"""The tasks that ask a person: approve (before deployment, off by default) and hold (when a canary could not decide)."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLBranchOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException


class Approve(ApprovalOperator):
    """Waits for a person's Approve or Reject, in the UI or by REST, when the run's param ``approval`` says so; skipped otherwise.

    A rejection, or no answer in time, fails the run.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="Deploy {{ dag.dag_id.removesuffix('_lifecycle') }}?",
            body="The gate has passed: {{ (ti.xcom_pull(task_ids='gate') or {}).get('reasons', []) | join(' ') }}",
            defaults=self.REJECT,
            fail_on_reject=True,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        if not context["params"]["approval"]:
            raise AirflowSkipException("Nobody is asked: the param `approval` is off.")
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        try:
            return super().execute_complete(context, event)
        except HITLRejectException:
            # A plain exception would be tried again: the same person would be asked five times.
            who = (event.get("responded_by_user") or {}).get("name") or "nobody within the time allowed"
            raise AirflowFailException(f"The deployment was not approved (answered by {who}).") from None


class Hold(HITLBranchOperator):
    """The canary found too little evidence and the spec says hold: the split stays as it is until a person decides."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="Promote or roll back {{ dag.dag_id.removesuffix('_lifecycle') }}?",
            body="The canary is inconclusive: {{ (ti.xcom_pull(task_ids='canary', key='reasons') or []) | join(' ') }}",
            options=["promote", "rollback"],
            **kwargs,
        )
