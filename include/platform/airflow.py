"""Airflow's configuration on this machine: one airflow.cfg, written by `make up`, readable by its owner alone."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping

from include import atomic
from include.errors import InputError
from include.platform import scale
from include.runtime.credentials import ADMIN, SERVICE, VIEWER, Credentials
from include.runtime.settings import TRACE_SHARE, TRACES, Settings

ROLES = {ADMIN: "admin", SERVICE: "op", VIEWER: "viewer"}

MORE_ROLES = ("viewer", "user", "op", "admin")
"""Roles of Airflow's SimpleAuthManager that a person may have."""

DB_MANAGERS = "lifecycle.db.manager.LifecycleDBManager,gpu_pool.db.manager.GpuPoolDBManager"
"""Who keeps the plugins' own tables."""

LOOK_S = 3
"""How often it is looked whether a model's files have changed (seconds)."""

DOCKER = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""How Docker's own tools are told of an engine."""
PYTHON = ("LD_LIBRARY_PATH",)
"""Where a Python's own libraries are that lie at no usual place."""
OURS = ("UPDRAFT_DATA", "UPDRAFT_BACKUP_AWS")
"""Settings that have a default of their own."""
S3 = ("UPDRAFT_DVC_REMOTE", "UPDRAFT_PREDICTIONS", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE")
"""How Amazon's own tools are told of a bucket: by files. Keys in the environment would get into the platform's own."""


def options(settings: Settings, credentials: Credentials) -> dict[str, dict[str, str]]:
    """Section → option → value: what differs from Airflow's own defaults, and why."""
    home = settings.home / "airflow"
    bundles = [
        {
            "name": "updraft",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(settings.repo / "dags")},
        },
        # Holds one failing file for each broken spec, so that its error shows among the UI's import errors; has the others' files read
        # again when a model has changed.
        {"name": "specs", "classpath": "lifecycle.broken_specs.BrokenSpecsBundle", "kwargs": {"refresh_interval": LOOK_S}},
    ]
    if own := os.environ.get("UPDRAFT_DAGS"):  # a user's own DAGs, wherever they are kept
        bundles.append({**bundles[0], "name": "own", "kwargs": {"path": own}})
    scaled = scale.chosen(settings) is scale.Scale.SCALED
    found = {
        "core": {
            "executor": "CeleryExecutor" if scaled else os.environ.get("UPDRAFT_EXECUTOR", "LocalExecutor"),
            # As many as Celery's workers run at once: none that waits there for its turn would be lost with a killed worker.
            "parallelism": str(scale.WORKERS * scale.SLOTS),
            "dags_folder": str(settings.repo / "dags"),
            "plugins_folder": str(settings.repo / "plugins"),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            # What was changed twice is shown as it is now, not as it was for half a minute.
            "min_serialized_dag_update_interval": "5",
            "dagbag_import_timeout": str(parse_limit_s(settings)),
            "fernet_key": credentials.airflow_fernet_key,
            "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in roles().items()),
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
        },
        "database": {
            "sql_alchemy_conn": scale.databases(settings, credentials).airflow,
            "external_db_managers": DB_MANAGERS,
        },
        "api": {
            "host": settings.bind,
            "port": str(settings.airflow_port),
            # Without it every task dies with "connection refused": the execution API's address derives from it.
            "base_url": settings.airflow_url,
            "workers": "1",
            "secret_key": credentials.airflow_api_secret,
            "expose_config": "False",
        },
        "traces": {"otel_on": str(bool(settings.traces))},
        "api_auth": {"jwt_secret": credentials.airflow_jwt_secret},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles),
            "refresh_interval": "10",
            "min_file_process_interval": str(parse_interval_s(settings)),
            "dag_file_processor_timeout": str(2 * parse_limit_s(settings)),
            "bundle_refresh_check_interval": str(LOOK_S),
        },
        "scheduler": {
            "enable_health_check": "False",
            # A killed scheduler is back within seconds; its tasks are taken up again after these, not after 30 s and 5 minutes.
            "scheduler_heartbeat_sec": "2",
            # The only scheduler of a busy machine must not take itself for dead: it then ends its own tasks.
            "scheduler_health_check_threshold": "30",
            "orphaned_tasks_check_interval": "5",
            # A task whose worker was killed is known by its silence (default: 5 minutes).
            "task_instance_heartbeat_timeout": "40",
            "task_instance_heartbeat_timeout_detection_interval": "5",
        },
        "workers": {
            "min_heartbeat_interval": "3",
            # The API server may be away for an hour (one heartbeat in 3 s); its tasks go on meanwhile.
            "max_failed_heartbeats": "1200",
            # A busy machine answers late: a task that gave up after 5 s lost a try before it began.
            "execution_api_timeout": "30",
        },
        # The same for trials: their trigger goes on in the next triggerer after this (default: 30 s).
        "triggerer": {"job_heartbeat_sec": "2", "triggerer_health_check_threshold": "10"},
        "logging": {
            "base_log_folder": str(settings.logs / "airflow"),
            # Airflow sets both itself, whatever the umask.
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
            "dag_processor_child_process_log_directory": str(settings.logs / "airflow" / "dag_processor"),
        },
        # How the GPU pool places and waits; every option and its default: include/pool/state.py, Config.
        "gpu_pool": {"policy": "updraft"},
        # Whoever shows the token of this hash tells of alerts: Alertmanager.
        "lifecycle": {
            "alerts_token_sha256": hashlib.sha256(credentials.alerts_token.encode()).hexdigest(),
            # Whether operators may make models in the UI: not where models come by git alone.
            "new_model": str(os.environ.get("UPDRAFT_NEW_MODEL", "1") != "0"),
        },
        "usage_data_collection": {"enabled": "False"},
    }
    if scaled:
        for section, values in _celery(settings, credentials).items():
            found.setdefault(section, {}).update(values)
    return found


def parse_limit_s(settings: Settings) -> int:
    """Seconds that reading one DAG file may take: a minute, and a fifth of a second a model, 15 times what it takes on an idle machine."""
    return 60 + len(list(settings.models.glob("*/model.yaml"))) // 5


def parse_interval_s(settings: Settings) -> int:
    """Seconds between two readings of all DAG files in which nothing has changed: 300, or 60 where a user's own DAGs are read too, which
    may make DAGs of what nobody here knows of. With very many models more, for a reading takes the longer. A file that has changed, and
    the DAGs of a model that has, are read within :data:`LOOK_S` whatever this says."""
    return max(60 if os.environ.get("UPDRAFT_DAGS") else 300, len(list(settings.models.glob("*/model.yaml"))) // 5)


def _celery(settings: Settings, credentials: Credentials) -> dict[str, dict[str, str]]:
    return {
        "celery": {
            "broker_url": scale.broker(settings, credentials),
            "worker_concurrency": str(scale.SLOTS),
            # While Redis is away a task waits to be sent: refused for less than a second it would count as failed, and cost a try.
            "extra_celery_config": json.dumps(
                {"task_publish_retry_policy": {"max_retries": 100, "interval_step": 0.1, "interval_max": 0.5}}
            ),
            "task_publish_max_retries": "120",
            # Otherwise, on a machine of many cores, a pool of processes for every handful of tasks that are sent.
            "sync_parallelism": "1",
        },
        # A task that was sent, and whose worker died before it began, is sent again after these (default: 10 minutes).
        "scheduler": {"task_queued_timeout": "120", "task_queued_timeout_check_interval": "15"},
        # Redis gives a message out again when nobody has said for so long that its task has ended (default: a day): longer than any step.
        "celery_broker_transport_options": {"visibility_timeout": str(14 * 24 * 3600)},
    }


def roles(more: str | None = None) -> dict[str, str]:
    """Return everybody's role by name: the platform's own users, and those of ``more`` (``ann:op,bob:viewer``; default: ``UPDRAFT_USERS``).

    Raises InputError for what is no list of names and roles.
    """
    found = dict(ROLES)
    for entry in filter(None, map(str.strip, (os.environ.get("UPDRAFT_USERS", "") if more is None else more).split(","))):
        name, _, role = entry.partition(":")
        if not name.isidentifier() or role not in MORE_ROLES or name in found:
            remedy = f"Write name:role, separated by commas; roles are {', '.join(MORE_ROLES)}; {', '.join(ROLES)} are taken."
            raise InputError(f"{entry!r} names no user with a role.", where="UPDRAFT_USERS", remedy=remedy)
        found[name] = role
    return found


def passwords(credentials: Credentials, before: Mapping[str, str]) -> dict[str, str]:
    """Return everybody's password: the platform's own, and for others the one that they had ``before``, or a new one."""
    return {name: credentials.airflow_passwords.get(name) or before.get(name) or secrets.token_urlsafe(18) for name in roles()}


def write(settings: Settings, credentials: Credentials) -> None:
    """Write airflow.cfg and the password file (both mode 0600)."""
    config = configparser.RawConfigParser()
    config.read_dict(options(settings, credentials))
    text = io.StringIO()
    config.write(text)
    home = settings.home / "airflow"
    atomic.write(home / "airflow.cfg", text.getvalue().replace("%", "%%"))
    kept = home / "passwords.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    atomic.write(kept, json.dumps(passwords(credentials, before)) + "\n")


def traces(settings: Settings) -> dict[str, str]:
    """By which Airflow finds where traces go; empty where none are sent. The gateway's own part: :mod:`include.gateway.tracing`."""
    if not settings.traces:
        return {}
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", TRACE_SHARE: str(settings.trace_share)}
    return {TRACES: settings.traces, "OTEL_TRACES_EXPORTER": "otlp_proto_http", "OTEL_SERVICE_NAME": "updraft-airflow", **sampled}


def environment(settings: Settings) -> dict[str, str]:
    """What Airflow's processes, and the tasks they fork, need in their environment: no secret among it."""
    return {
        "AIRFLOW_HOME": str(settings.home / "airflow"),
        "PYTHONPATH": f"{settings.repo}:{settings.repo / 'plugins'}",
        "PYTHONUNBUFFERED": "1",
        # Airflow's processes write their titles over their environment, by which the platform knows its own (see family.py), unless told.
        "SPT_NOENV": "1",
        "UPDRAFT_HOME": str(settings.home),
        "UPDRAFT_RUNTIMES": str(settings.runtimes),
        "UPDRAFT_PORT_BASE": str(settings.port_base),
        "UPDRAFT_MODELS": str(settings.models),
        "UPDRAFT_TARGET": settings.target,
        **settings.s3_environment,
        **{name: os.environ[name] for name in (*DOCKER, *S3, *PYTHON, *OURS) if name in os.environ},
        **traces(settings),
        "GX_ANALYTICS_ENABLED": "False",
        "DVC_NO_ANALYTICS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "PATH": f"{settings.python('airflow').parent}:/usr/local/bin:/usr/bin:/bin",
    }
