"""The tasks that ask a person: approve (before deployment, off by default) and hold (when a canary could not decide)."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLBranchOperator


class Approve(ApprovalOperator):
    """Waits for a person's Approve or Reject, in the UI or by REST, when the run's param ``approval`` says so; passes at once otherwise.

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
            self.log.info("No approval asked for (param `approval`).")
            return None
        return super().execute(context)


class Hold(HITLBranchOperator):
    """The canary found too little evidence and the spec says hold: the split stays as it is until a person decides."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="Promote or roll back {{ dag.dag_id.removesuffix('_lifecycle') }}?",
            body="The canary is inconclusive: {{ (ti.xcom_pull(task_ids='canary', key='reasons') or []) | join(' ') }}",
            options=["promote", "rollback"],
            **kwargs,
        )
