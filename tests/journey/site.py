"""One whole platform for the journeys: started by the same command as a user's, in a folder and on ports of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from include.gateway.gateway import Gateway
from include.gateway.table import Split
from include.platform.scale import Scale
from include.registry.mlflow import Mlflow
from include.runtime import family
from include.runtime.airflow_api import TERMINAL, AirflowApi
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import State, Supervisor
from include.serving.revisions import Revisions
from include.serving.traffic import Traffic, TrafficReport
from tests.journey import gpu_dags, newcomer, talker
from tests.ports import free_base
from tests.waiting import until

RUN_S = 400
"""A run takes 20 to 40 s here; a busy machine may need several times that."""
RATE_PER_S = 40
SERVED = "tumours"
UNSEEN = "unseen"
SEATED = "seated"
"""Its revisions hold half a GPU and may be told to stop."""
TALKER = "talker"
"""A language model."""
JUDGED = "judged"
"""Another, whose answers the first one is asked to judge."""
CONTAINED = "contained"
"""Its steps and its servers are containers."""
MISCHIEF = ("raiser", "hanger", "killer")
LEASED = "leased"
"""Its training asks for a share of a GPU, and keeps what it has when it is told to stop."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its own state and that of each of its tasks."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.dag_id}/{self.run_id}"


class Site:
    """The platform's own client sides, and what the tests do to it."""

    def __init__(self, scale: Scale = Scale.EMBEDDED) -> None:
        home = Path(tempfile.mkdtemp(prefix="ud-"))
        home.chmod(0o711)  # PostgreSQL, which does not run as root, passes through
        self.models = home / "models"
        for name in (SERVED, UNSEEN):
            newcomer.write(self.models, name)
        newcomer.write(self.models, SEATED, serve="resources: {fraction: 0.5, priority: 3, preemptible: true, grace_s: 20}")
        contained = newcomer.write(self.models, CONTAINED) / "model.yaml"
        contained.write_text(f"{contained.read_text()}\ntarget: docker\n")
        for name in MISCHIEF:
            newcomer.write(self.models, name, timeout_minutes=0.25)
        for name in (TALKER, JUDGED):
            talker.write(self.models, name)
        talker.judged(self.models / JUDGED, "connection: judge_default, max_prompts: 5")
        gpu_dags.write(self.models, LEASED, home / "dags")
        self.settings = replace(Settings.load(), home=home / "h", port_base=free_base())
        self.environment = os.environ | {
            "UPDRAFT_HOME": str(self.settings.home),
            "UPDRAFT_RUNTIMES": str(self.settings.runtimes),
            "UPDRAFT_PORT_BASE": str(self.settings.port_base),
            "UPDRAFT_MODELS": str(self.models),
            "UPDRAFT_DAGS": str(home / "dags"),
            "UPDRAFT_SCALE": str(scale),
            "UPDRAFT_POINTER": str(home / "running"),
        }
        self.supervisor = Supervisor(self.settings)
        self.backend = Revisions(self.settings)
        self.rate = RATE_PER_S

    def command(self, *arguments: str, timeout_s: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        """``python -m include.platform up`` and its like, as the Makefile calls them."""
        command = [sys.executable, "-m", *arguments]
        repo = self.settings.repo
        environment = self.environment | variables
        return subprocess.run(command, env=environment, cwd=repo, capture_output=True, text=True, timeout=timeout_s, check=False)

    def up(self) -> None:
        done = self.command("include.platform", "up")
        assert done.returncode == 0, done.stdout + done.stderr

    def close(self) -> None:
        self.command("include.platform", "down")
        left = family.family(str(self.settings.home))
        keep = os.environ.get("UPDRAFT_KEEP_JOURNEY")
        if not keep:
            shutil.rmtree(self.settings.home.parent, ignore_errors=True)
        assert not left, "processes outlived `make down`"

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials.load(self.settings.home)

    @cached_property
    def api(self) -> AirflowApi:
        return self.client(ADMIN)

    def client(self, user: str) -> AirflowApi:
        return AirflowApi(self.settings.airflow_url, user, self.credentials.airflow_passwords[user])

    @cached_property
    def mlflow(self) -> Mlflow:
        return Mlflow(self.settings.mlflow_url, ADMIN, self.credentials.mlflow_password)

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self.settings)

    # Runs

    def trigger(self, model: str = SERVED, **conf: Any) -> tuple[str, str]:
        """Start a lifecycle by REST; DAG id and run id."""
        dag_id = f"{model}_lifecycle"
        return dag_id, self.api.trigger(dag_id, conf)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Task id → state; the key ``""`` holds the run's own. Asked again while the API server is away."""
        from include.errors import ComponentError

        for _ in range(240):
            try:
                run = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
                tasks = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 200})["task_instances"]
            except ComponentError:
                time.sleep(0.5)
                continue
            return {task["task_id"]: task["state"] or "none" for task in tasks} | {"": run["state"]}
        raise AssertionError("Airflow has not answered for two minutes")

    def wait(self, run: tuple[str, str], task: str, *states: str, timeout_s: float = RUN_S) -> None:
        """Until a task of the run is in one of these states."""
        seen: dict[str, str] = {}

        def there() -> bool:
            nonlocal seen
            seen = self.states(*run)
            assert seen[""] not in TERMINAL or seen.get(task) in states, f"{run} ended before {task} was {states}: {seen}"
            return seen.get(task) in states

        until(there, timeout_s, f"{task} of {run} in {states}", every_s=0.1, seen=lambda: seen)

    def end(self, run: tuple[str, str], timeout_s: float = RUN_S) -> Ended:
        """Wait for the run's end."""
        seen: dict[str, str] = {}

        def ended() -> bool:
            nonlocal seen
            seen = self.states(*run)
            return seen[""] in TERMINAL

        until(ended, timeout_s, f"the end of {run}", every_s=0.5, seen=lambda: seen)
        state = seen.pop("")
        return Ended(*run, state, seen)

    def run(self, model: str = SERVED, **conf: Any) -> Ended:
        return self.end(self.trigger(model, **conf))

    def version(self, run: tuple[str, str] | Ended) -> int:
        """The model version that a run has registered."""
        dag_id, run_id = (run.dag_id, run.run_id) if isinstance(run, Ended) else run
        return int(self.xcom(dag_id, run_id, "register")["version"])

    def xcom(self, dag_id: str, run_id: str, task: str) -> Any:
        return self.api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value")["value"]

    def verdicts(self, run: Ended) -> dict[str, dict[str, Any]]:
        """Kind → the run's verdict of that kind."""
        return {row["kind"]: row for row in self.api.get("/lifecycle/v1/verdicts", params={"run_key": run.key})}

    def log(self, run: Ended | tuple[str, str], task: str, attempt: int = 1) -> str:
        """A task's log as the UI shows it."""
        dag_id, run_id = (run.dag_id, run.run_id) if isinstance(run, Ended) else run
        content = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}")["content"]
        return "\n".join(str(line.get("event", "")) + str(line.get("error_detail") or "") for line in content)

    # What serves

    @property
    def aliases(self) -> dict[str, int]:
        return self.mlflow.aliases(SERVED)

    def ensure_champion(self) -> int:
        """The champion's version; trained and promoted now when there is none yet."""
        champion = self.aliases.get("champion")
        if champion is None:
            ended = self.run()
            assert ended.state == "success", ended
            champion = self.aliases["champion"]
        return champion

    def settled(self, champion: int, model: str = SERVED, *, standby: int | None = None) -> None:
        """Exactly this version is champion, has all the traffic, and is the only revision but for the one that stands by; no process is
        left that nobody supervises.
        """
        running = {str(version) for version in (champion, standby) if version is not None}
        aliases = self.mlflow.aliases(model)
        assert aliases["champion"] == champion
        assert "challenger" not in aliases
        assert self.gateway.split(model) == Split({str(champion): 100}, None)
        assert set(self.gateway.revisions(model)) == running
        programs_of = self.supervisor.programs
        assert {name for name in programs_of() if name.startswith(f"revision-{model}-")} == {f"revision-{model}-{one}" for one in running}
        until(lambda: set(programs_of().values()) == {State.RUNNING}, 60, "every program running", seen=programs_of)
        self.no_orphans()

    def no_orphans(self) -> None:
        """Every process of the platform descends from a program that supervisord runs."""
        supervisord = self.supervisor.process_id()
        assert supervisord

        def strays() -> list[str]:
            living = set(family.family(str(self.settings.home))) - {supervisord}
            return [describe(process) for process in living if supervisord not in ancestors(process)]

        until(lambda: not strays(), 20, "no process without a parent", seen=strays)

    @contextmanager
    def traffic(self, model: str = SERVED) -> Iterator[Callable[[], TrafficReport]]:
        """A client that sends rows all along; call what it yields to end it and get the report."""
        key = self.credentials.api_keys["demo"]
        traffic = Traffic(self.settings.gateway_url, key, model, newcomer.requests(), self.rate, check=newcomer.wrong, timeout_s=30)
        traffic.start()
        reports: list[TrafficReport] = []

        def stop() -> TrafficReport:
            if not reports:
                reports.append(traffic.stop())
            return reports[0]

        try:
            yield stop
        finally:
            stop()


def ancestors(process: int) -> list[int]:
    """The processes that a process descends from."""
    found: list[int] = []
    while process > 1:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            break
        process = int(stat.rpartition(")")[2].split()[1])
        found.append(process)
    return found


def children(process: int) -> list[int]:
    """The processes that a process has started itself."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if ancestors(int(folder.name))[:1] == [process]]


def describe(process: int) -> str:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = ""
    return f"{process}: {command[:150]}"
