"""The tasks of the platform's own backup: take, prove, prune. They go by the plan that `make backup-plan` has kept, and take no params: who
may trigger runs shall not say where a platform's data goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.errors import InputError
from include.runtime.settings import Settings
from include.verdict import Decision, Verdict
from lifecycle.run import told

if TYPE_CHECKING:
    from include.backup.plan import Plan
    from include.backup.store import Store


class BackupOperator(BaseOperator):
    """One task that works on the plan's store, alone."""

    ui_color = "#eef5ea"

    def execute(self, context: Any) -> Any:
        from include.backup import plan as plans
        from include.backup.places import store
        from include.backup.take import alone, folder

        with told():
            settings = Settings.load()
            plan = plans.read(folder(settings))
            if plan is None:
                raise InputError("there is no plan of backups.", where=str(folder(settings)), remedy="Make one: `make backup-plan TO=...`.")
            with alone(settings):
                return self.work(settings, plan, store(settings, plan.to), context)

    def work(self, settings: Settings, plan: Plan, target: Store, context: Any) -> Any:
        """Do what the task is for; the result is the XCom."""
        raise NotImplementedError


class TakeBackup(BackupOperator):
    """Backs the platform up; the result names the backup."""

    def work(self, settings: Settings, plan: Plan, target: Store, context: Any) -> dict[str, Any]:
        from include.backup.seal import passphrase
        from include.backup.take import folder, take

        manifest = take(settings, target, passphrase(folder(settings), ask=False), datetime.now(UTC), self.log.info)
        target.note(manifest.name, {"proof": None})
        self.log.info("Backup %s: %s files, %s bytes.", manifest.name, len(manifest.files), f"{manifest.size_bytes:,}")
        return {"name": manifest.name, "where": target.where, "bytes": manifest.size_bytes}


class ProveBackup(BackupOperator):
    """Restores the backup in isolation and has its champions answer; the result is the verdict. Fails for one that can't be restored, and
    for one that says nothing: a platform that has champions has proven none of them."""

    def work(self, settings: Settings, plan: Plan, target: Store, context: Any) -> dict[str, Any]:
        from include.backup.proof import prove
        from include.backup.restore import chosen
        from include.backup.seal import passphrase
        from include.backup.take import folder

        name = str(context["ti"].xcom_pull(task_ids="take")["name"])
        verdict = prove(settings, plan.to, chosen(target, name), passphrase(folder(settings), ask=False))
        target.note(name, {"proof": verdict.to_json(), "at": datetime.now(UTC).isoformat(timespec="seconds")})
        self._insist(name, verdict)
        return verdict.to_json()

    def _insist(self, name: str, verdict: Verdict) -> None:
        for rule in verdict.rules:
            mark = {True: "passed", False: "FAILED", None: "undecided"}[rule.passed]
            self.log.info("%-9s %s: %s (bar: %s) %s", mark, rule.name, rule.figure, rule.bar, rule.detail)
        self.log.info("%s: %s", verdict.decision, " ".join(verdict.reasons))
        if verdict.decision is Decision.FAIL:
            raise AirflowFailException(f"Backup {name} is useless: {'; '.join(verdict.reasons)}")
        if any(rule.passed is None for rule in verdict.rules):
            raise AirflowFailException(f"Backup {name} is not proven: {'; '.join(verdict.reasons)}")


class PruneBackups(BackupOperator):
    """Drops the backups that the plan no longer keeps."""

    def work(self, settings: Settings, plan: Plan, target: Store, context: Any) -> dict[str, Any]:
        from include.backup.keep import prune

        gone, size = prune(target, plan.keep, plan.days, datetime.now(UTC))
        self.log.info("Dropped %s, and %s bytes that no backup names.", ", ".join(gone) or "no backup", f"{size:,}")
        return {"dropped": gone, "bytes": size}
