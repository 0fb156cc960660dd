"""The tasks register, deploy, promote and rollback, and the way back by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_pool.client import PoolClient, Wanted
from gpu_pool.operators.holding import HoldsGpu
from include.acts import rules
from include.backends import options
from include.errors import InputError
from include.registry.mlflow import CHAMPION, REGISTERED
from include.release import bundle as bundles
from include.release import references
from include.release.production import Production
from include.release.returned import ALERT, WATCH, returned
from include.runtime.credentials import SERVICE
from include.serving.kubernetes.gateway import gateway_of
from include.serving.lease import RevisionLease
from include.serving.revision import RevisionState
from include.spec.serve import Serve
from include.watch.watcher import RUN_PREFIX
from lifecycle import by_hand
from lifecycle.hosts import backend, facts, host_of
from lifecycle.leases import lease_for
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, airflow_api, bound_spec, keep_verdict, mlflow


def production(model: str, settings: Any, target: str = "") -> Production:
    """The model's production, its revisions' states kept in the plugin's tables; ``target``: of the revisions to come."""
    api, revisions = airflow_api(), backend(settings)

    def record(version: int, state: RevisionState, message: str) -> None:
        known = facts(revisions, model, version) or ({"target": target} if target else {})
        body = {"model": model, "version": version, "state": state.value, "message": message[:4000]}
        api.call("PUT", "/lifecycle/v1/revisions", json=body | known)

    return Production(model, settings, mlflow(), record, gateway=gateway_of(settings, model, target), backend=revisions)


class Register(LifecycleOperator):
    """Registers what verify has bundled as a model version; the same run registers one version, however often it tries."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        verified = self.pulled(context, "verify")
        mlflow_run = self.pulled(context, "validate_data")["mlflow_run"]
        run.mlflow.set_tags(mlflow_run, {REGISTERED: "yes"})  # from here on no step's token changes what is checked and stored
        run.mlflow.check_source(mlflow_run, str(verified["model_uri"]))
        folder = Path(verified["bundle"])
        params = {name: run.params.get(name, default) for name, default in run.spec.param_defaults("serve").items()}
        bundles.complete(folder, run.folder, run.spec.serve, params)
        sent = bundles.store(run.mlflow, mlflow_run, folder)
        self.log.info("%s bytes were sent to the registry; the rest was there.", f"{sent:,}")
        tags = {"updraft.optimization": str(verified["chosen"])}
        version = run.mlflow.ensure_version(run.model, run_id=mlflow_run, source=str(verified["model_uri"]), run_key=run.key, tags=tags)
        bundles.keep(folder, run.model, version, run.settings.home / "bundles")
        run.mlflow.set_tags(mlflow_run, {"updraft.version": str(version)})
        self.log.info("Version %s of %s is registered.", version, run.model)
        return {"version": version}


class ServesOnGpu(HoldsGpu):
    """A task that starts a revision, which keeps the lease: ``lifecycle.keeper`` renews it for as long as the revision is there."""

    def leased(self, context: Mapping[str, Any], run: Run, version: int, serve: Serve, bundle: Path) -> RevisionLease | None:
        """The revision's lease, None if it needs no GPU. Leaves by TaskDeferred while the pool has none; then the task comes here again."""
        target = host_of(run.spec.target, run.settings)
        found = lease_for(PoolClient.connect, backend(run.settings), run.settings, run.model, version, serve, bundle, target)
        if isinstance(found, Wanted):
            self.log.info("Waits for a GPU: %s", found.why())
            self.wait_for_gpu(context, found)
            raise AssertionError("deferred")
        if found is not None:
            self.log.info("The revision holds %s.", ", ".join(found.environment.values()) or found.lease_id)
        return found


class Deploy(ServesOnGpu, LifecycleOperator):
    """A revision of the new version beside the champion, ready once its golden inputs are answered rightly through the gateway."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        version = int(self.pulled(context, "register")["version"])
        folder = bundles.fetch(run.mlflow, run.model, version, run.settings.home / "bundles")
        target = host_of(run.spec.target, run.settings)
        site = production(run.model, run.settings, target)
        site.end_standby(keep=version)
        serve, params = options.read(folder)
        lease = self.leased(context, run, version, serve, folder)
        verdict = site.deploy(version, folder, serve, params, lease, target)
        run.keep("deploy", verdict, version)
        servers = backend(run.settings)
        if (revision := servers.find(run.model, str(version))) and (how := servers.served(revision)):
            self.log.info(how)
        self.insist(verdict)
        if run.mlflow.aliases(run.model).get(CHAMPION) != version:
            site.challenge(version)
        return {"version": version}

    def on_kill(self) -> None:
        """Nothing to end here: a half-started revision is taken up again by the retry, or ended by the run's last task."""


class Promote(LifecycleOperator):
    """All traffic to the new version, which becomes champion; what served before stands by if it shall, and is drained and stopped."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        version = int(self.pulled(context, "register")["version"])
        production(run.model, run.settings).promote(version, run.spec.serve.drain_s, run.spec.serve.standby_s)
        self.log.info("Version %s of %s is champion.", version, run.model)
        return {"version": version}


class Rollback(LifecycleOperator):
    """All traffic back to the champion; the new version is drained and stopped."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        version = int(self.pulled(context, "register")["version"])
        seconds = production(run.model, run.settings).rollback(version, run.spec.serve.drain_s)
        self.log.info("Version %s of %s is out of production (%.2f s).", version, run.model, seconds)
        return {"version": version, "rollback_seconds": seconds}


class Settle(LifecycleOperator):
    """Runs last, whatever happened: a version that did not become champion is out of traffic and stopped, and the MLflow run is ended."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        version = self.pulled(context, "register").get("version")
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        if version is not None and champion != version:
            production(run.model, run.settings).rollback(int(version), run.spec.serve.drain_s)
        references.path_of(run.settings.trials, run.model).unlink(missing_ok=True)  # of a trial that was ended by hand
        if version is not None:
            self._record_end_by_hand(run, int(version))
        mlflow_run = self.pulled(context, "validate_data").get("mlflow_run") or run.mlflow_run()
        run.mlflow.end_run(mlflow_run, failed=version is None or champion != version)
        return {"champion": champion}

    def _record_end_by_hand(self, run: Run, version: int) -> None:
        """Keep who took the task canary out of its trial, and why, if the judge came to no verdict."""
        rows = run.api.get("/lifecycle/v1/verdicts", params={"run_key": run.key})
        if any(row["kind"] == by_hand.KIND for row in rows) or not by_hand.looks(run.api, run.key):
            return
        if found := by_hand.act(run.api, run.key, "canary"):
            run.keep(by_hand.KIND, by_hand.verdict(run.api, run.key, run.spec, *found), version)


class ReturnTo(ServesOnGpu, LifecycleOperator):
    """Takes production back by hand: to the version in the run's param, or to the one that was champion before."""

    def execute(self, context: Any) -> Any:
        from include.kinds.load import load
        from lifecycle.run import told

        with told():
            spec = load(Path(self.spec_path))
            run = Run(f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}", Path(self.spec_path), spec, {})
            return self._return(context, run, context["params"]["version"], str(context["params"].get("reason") or ""))

    def _return(self, context: Mapping[str, Any], run: Run, wanted: int | None, why: str = "") -> dict[str, Any]:
        target = host_of(run.spec.target, run.settings)
        site = production(run.model, run.settings, target)
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        done = {row["decision"] for row in run.api.get("/lifecycle/v1/verdicts", params={"run_key": run.key})}
        if wanted is None and done:
            return {"version": champion}  # this run has done it already: `previous` means another version by now
        version = wanted if wanted is not None else site.previous()
        if champion is None:
            raise InputError(f"{run.model} has nothing in production.", where="the run's params", remedy="Run its lifecycle first.")
        trial = by_hand.under_way(run.api, run.mlflow, run.model)
        # A retry goes on instead: whoever was killed may have left something to drain and stop.
        if context["ti"].try_number <= 1 and not done and trial is None and site.serves_alone(version):
            self.log.info("Version %s of %s serves already: nothing to do.", version, run.model)
            return {"version": version, "from": champion, "nothing_to_do": True}
        folder = bundles.fetch(run.mlflow, run.model, version, run.settings.home / "bundles")
        site.end_standby(keep=version)
        serve, params = options.read(folder)
        lease = self.leased(context, run, version, serve, folder)
        self.insist(site.deploy(version, folder, serve, params, lease, target))
        who = _who(context["dag_run"])
        if trial is not None:  # before production changes: the trial looks for it then
            trial_key, tried = trial
            words = f"production was returned to version {version}. {why}".strip()
            ended = by_hand.verdict(run.api, trial_key, bound_spec(run.api, trial_key, run.spec), who, words)
            keep_verdict(run.api, trial_key, by_hand.KIND, run.model, ended, tried)
        # Anew: by the first deployment on a cluster its own gateway has come to be known.
        production(run.model, run.settings, target).promote(version, serve.drain_s, serve.standby_s)
        verdict = returned(int(champion), int(version), who, why)
        run.keep("return", verdict, version)
        self.log.info(verdict.reasons[0])
        return {"version": version, "from": champion}


def _who(dag_run: Any) -> str:
    """Who has begun the return: a person by name, the watch, or an alert."""
    user = str(getattr(dag_run, "triggering_user_name", None) or by_hand.NOBODY)
    machines = {RUN_PREFIX: WATCH, rules.RUN_PREFIX: ALERT} if user == SERVICE else {}
    return next((name for prefix, name in machines.items() if str(dag_run.run_id).startswith(prefix)), user)
