"""The platform's own programs, as supervisord runs them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from include import atomic
from include.gateway.gateway import Gateway
from include.platform import airflow, mlflow_app, postgres, scale
from include.platform.gpus import Reporter
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.reuse_port import STARTING
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

CONFIG = "UPDRAFT_CONFIG"
CODE = "UPDRAFT_CODE"
"""Digests of a program's configuration file, and of the code that it imports once for all, in its environment: `make up` restarts a program
of which either has changed."""
# Their log servers would listen on every address of the machine; the API server reads the same files itself.
API_SERVER = "api-server"
AIRFLOW = {API_SERVER: (), "scheduler": ("--skip-serve-logs",), "dag-processor": (), "triggerer": ("--skip-serve-logs",)}
RUN_DOOR = "run-door"
RETRIES = 20
"""So often is a program started that ends because PostgreSQL is away: a second later each time, four minutes in all."""
ALONE = ("--without-gossip", "--without-mingle")
"""Celery's workers need not know of each other."""


def platform_programs(settings: Settings, credentials: Credentials) -> list[Program]:
    """The gateway, MLflow, Airflow's four components, and :func:`keepers`, in the order in which they start."""
    return [
        _envoy(settings),
        _mlflow(settings, credentials),
        _run_door(settings, credentials),
        *(_airflow(settings, component, *flags) for component, flags in AIRFLOW.items()),
        *keepers(settings),
    ]


def keepers(settings: Settings) -> list[Program]:
    """The housekeeper, the keeper of leases, the watch, the responder, the prediction log and the count of budgets."""
    return [
        _beside(settings, "housekeeper", "include.platform.housekeeper"),
        _beside(settings, "lease-keeper", "lifecycle.keeper"),
        _beside(settings, "watch", "include.watch"),
        _beside(settings, "responder", "lifecycle.responder"),
        _beside(settings, "prediction-log", "include.predictions.service"),
        _beside(settings, "budgets", "include.budgets.service"),
    ]


def data_programs(settings: Settings, credentials: Credentials) -> list[Program]:
    """PostgreSQL and Redis, where the platform is scaled: they answer before anything else starts, and stop last."""
    return [_postgres(settings), _redis(settings, credentials)]


def _postgres(settings: Settings) -> Program:
    data = scale.postgres_data(settings)
    return Program(
        name="postgres",
        command=postgres.as_program(postgres.command(postgres.binaries(data), data, scale.postgres_host(settings), settings.postgres_port)),
        directory=settings.home,
        log=settings.logs / "postgres.log",
        start_s=1,
        start_retries=10,  # it waits for the last session of a killed one
        stop_signal="INT",  # ends sessions, and stops
        stop_wait_s=30,
        priority=10,
    )


def _redis(settings: Settings, credentials: Credentials) -> Program:
    home = settings.home / "redis"
    atomic.write(home / "redis.conf", scale.redis_configuration(settings, credentials, home, scale.redis_socket(settings)))
    return Program(
        name="redis",
        command=(str(scale.redis_server()), str(home / "redis.conf")),
        directory=home,
        log=settings.logs / "redis.log",
        environment={CONFIG: _digest(home / "redis.conf")},
        priority=20,
    )


def celery_workers(settings: Settings) -> list[Program]:
    """Where tasks run, where the platform is scaled."""
    found = []
    for number in range(1, scale.WORKERS + 1):
        host, name = f"worker-{number}@%h", f"celery-worker-{number}"
        worker = _airflow(settings, "celery", "worker", "--celery-hostname", host, "--skip-serve-logs", *ALONE)
        # They stop before the steps: a task that sees its step being ended would spend its tries on it.
        found.append(replace(worker, name=name, log=settings.logs / f"{name}.log", stop_wait_s=10, priority=1000))
    return found


def _airflow(settings: Settings, component: str, *flags: str) -> Program:
    return Program(
        name=f"airflow-{component}",
        command=(*_airflow_command(settings, component), component, *flags),
        listens=(f"{settings.bind}:{settings.airflow_port}",) if component == API_SERVER else (),
        directory=settings.repo,
        log=settings.logs / f"airflow-{component}.log",
        environment=airflow.environment(settings)
        | {CONFIG: _digest(settings.home / "airflow" / "airflow.cfg"), CODE: code(settings.repo)}
        | _starting(settings, component),
        start_s=5,
        start_retries=RETRIES if scale.chosen(settings) is scale.Scale.SCALED else 3,
        stop_wait_s=20,
        priority=200,
    )


def _starting(settings: Settings, component: str) -> dict[str, str]:
    """Where a browser is shown that the pages' server starts."""
    return {STARTING: f"{settings.bind}:{settings.airflow_port}"} if component == API_SERVER else {}


def _airflow_command(settings: Settings, component: str) -> tuple[str, ...]:
    if component == API_SERVER:
        return (str(settings.python("airflow")), "-m", "include.runtime.reuse_port", "airflow")
    return (str(settings.python("airflow")), "-m", "lifecycle.components")


def _mlflow(settings: Settings, credentials: Credentials) -> Program:
    home = settings.home / "mlflow"
    databases = scale.databases(settings, credentials)
    atomic.write(
        home / "auth.ini",
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {databases.mlflow_auth}\n"
        f"admin_username = {ADMIN}\n"
        f"admin_password = {credentials.mlflow_password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        # A password's hash is checked at every request otherwise: 60 to 200 ms each, 50 requests a step.
        "auth_cache_ttl_seconds = 60\n"
        "auth_cache_max_size = 100\n",
    )
    return Program(
        name="mlflow",
        command=(
            *(str(settings.python("airflow")), "-m", "include.platform.mlflow_app", "server"),
            *("--host", settings.bind, "--port", str(settings.mlflow_port), "--workers", "1"),
            *("--artifacts-destination", settings.artifacts, "--app-name", "basic-auth"),
        ),
        directory=home,
        log=settings.logs / "mlflow.log",
        listens=(f"{settings.bind}:{settings.mlflow_port}",),
        environment={
            CONFIG: _digest(home / "auth.ini"),
            "PYTHONPATH": str(settings.repo),
            mlflow_app.ORIGINS: f"{settings.mlflow_url},http://localhost:{settings.mlflow_port}",
            "MLFLOW_BACKEND_STORE_URI": databases.mlflow,  # it may hold a password, which a command line would show
            "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials.mlflow_secret_key,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Its job runner keeps eight processes of 170 MB for features that Updraft does not use.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DO_NOT_TRACK": "1",
            **settings.s3_environment,
            **{name: os.environ[name] for name in airflow.S3 if name in os.environ},
            "PATH": f"{settings.python('airflow').parent}:/usr/bin:/bin",
        },
        start_s=3,
        start_retries=RETRIES if scale.chosen(settings) is scale.Scale.SCALED else 3,
        stop_wait_s=10,
        priority=100,
    )


def _run_door(settings: Settings, credentials: Credentials) -> Program:
    """Before MLflow, for steps."""
    secret = hashlib.sha256(f"{credentials.door_secret}{credentials.mlflow_password}".encode()).hexdigest()[:16]
    return Program(
        name=RUN_DOOR,
        command=(str(settings.python("airflow")), "-m", "include.door"),
        directory=settings.repo,
        log=settings.logs / f"{RUN_DOOR}.log",
        listens=(f"{settings.host}:{settings.mlflow_door_port}",),
        environment=airflow.environment(settings) | {CONFIG: secret},
        start_s=2,
        priority=110,
    )


def _envoy(settings: Settings) -> Program:
    return Program(
        name="envoy",
        command=Gateway(settings).command(),
        directory=settings.envoy,
        log=settings.logs / "envoy.log",
        listens=(f"{settings.bind}:{settings.gateway_port}",),
        stop_wait_s=10,
        priority=150,
    )


def gpu_agent(settings: Settings, who: Reporter) -> Program:
    """Reports GPUs to the pool. Started last: it needs its token, which the pool gives."""
    return Program(
        name="gpu-agent",
        command=(
            *(str(settings.python("airflow")), "-m", "gpu_pool.agent", "--server", settings.airflow_url),
            *("--source", who.source, "--reporter", who.name, "--token-file", str(who.token(settings))),
            *(("--file", str(who.file)) if who.source == "declared" else ()),
            *(("--sharing", who.sharing) if who.sharing else ()),
        ),
        directory=settings.repo,
        log=settings.logs / "gpu-agent.log",
        environment=airflow.environment(settings) | _kubeconfig(who),
        priority=900,
    )


def _kubeconfig(who: Reporter) -> dict[str, str]:
    """Where the cluster is: the only one of the caller's own variables that the agent needs."""
    return {"KUBECONFIG": os.environ["KUBECONFIG"]} if who.source == "kubernetes" and "KUBECONFIG" in os.environ else {}


def code(repo: Path) -> str:
    """Return a digest of which files of code there are, how long they are and when they were changed: components import it once, for all
    their tasks, so `make up` starts them anew when it has changed."""
    files = (path for room in ("include", "plugins") for path in sorted((repo / room).rglob("*.py")) if "models" not in path.parts[-3:-1])
    facts = ((str(path), stat.st_mtime_ns, stat.st_size) for path in files for stat in (path.stat(),))
    return hashlib.sha256(repr(list(facts)).encode()).hexdigest()[:16]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _beside(settings: Settings, name: str, module: str) -> Program:
    """A module that works beside Airflow, with its environment; started last."""
    return Program(
        name=name,
        command=(str(settings.python("airflow")), "-m", module),
        directory=settings.repo,
        log=settings.logs / f"{name}.log",
        environment=airflow.environment(settings),
        priority=900,
    )
