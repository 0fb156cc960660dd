"""Lays out what `docker/compose.yaml` mounts: settings, secrets and folders. Standard library only: the host has nothing but Python.

    python3 include/runtime/python.py -m include.platform.compose [FOLDER]        (`make compose`; the folder: .updraft/compose)

Repeated, it keeps every secret and says the rest anew. Nothing here is an argument of a command or in the compose file.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from include import atomic
from include.errors import InputError, spoken
from include.platform import label_studio, scale
from include.runtime.credentials import Credentials
from include.runtime.settings import REPO, Settings
from include.targets import images

FILE = REPO / "docker" / "compose.yaml"
FOLDERS = ("home", f"home/{label_studio.NAME}", "postgres", "redis", "s3", "secrets")
NOT_ROOT = (1000, 1000)
"""Whose everything is when root lays it out: nothing in the containers is root."""
S3_KEY = "updraft"
IN_REDIS = Path("/data")
"""Redis' folder in its container."""


def lay_out(state: Path) -> Path:
    """Make ``state`` with its folders, secrets and ``env``; the latter's path. Raises InputError for a path that a container can't have."""
    if any(sign in str(state) for sign in ":$ '\"\n"):
        raise InputError("Docker can't mount a path with such signs in it.", where=str(state), remedy="Name another folder.")
    settings = replace(Settings.load(), home=state / "home")
    for name in FOLDERS:
        (state / name).mkdir(parents=True, exist_ok=True)
        (state / name).chmod(0o700)
    credentials = Credentials.load_or_create(settings.home)
    label_studio.prepare(settings)
    atomic.write(settings.home / "scale", f"{scale.Scale.SCALED}\n")
    if (word := os.environ.get(label_studio.VARIABLE, "")) in ("0", "1"):
        atomic.write(settings.home / label_studio.CHOICE, f"{word}\n")
    for name, text in secrets(settings, credentials).items():
        atomic.write(state / "secrets" / name, text)
    write_s3_files(settings, credentials)
    who = _owner(state)
    atomic.write(state / "env", "".join(f"{name}={value}\n" for name, value in environment(state, settings, who).items()))
    return state / "env"


def write_s3_files(settings: Settings, credentials: Credentials) -> None:
    """Write what Amazon's tools read to reach the platform's own S3."""
    keys = f"[default]\naws_access_key_id = {S3_KEY}\naws_secret_access_key = {credentials.s3_password}\n"
    atomic.write(settings.s3 / "credentials", keys)
    # The last: with it the platform has an S3.
    address = f"http://{settings.host}:{settings.s3_port}"
    atomic.write(settings.s3 / "config", f"[default]\nregion = us-east-1\nendpoint_url = {address}\n")


def secrets(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """File name → what a server that is not ours reads at its start."""
    return {
        "postgres_password": credentials.database_passwords["postgres"],
        "redis.conf": scale.redis_configuration(settings, credentials, IN_REDIS),
        "label_studio": label_studio.as_script(settings, credentials),
    }


def environment(state: Path, settings: Settings, who: tuple[int, int]) -> dict[str, str]:
    """What the compose file asks for by name: no secret among it."""
    named = {f"UPDRAFT_{runtime.upper()}_IMAGE": images.name(runtime) for runtime in ("airflow", "trainer", "triton", "labels")}
    platform = f"updraft/platform:{'-'.join(images.tag(runtime)[:6] for runtime in ('airflow', 'trainer', 'triton'))}"
    return {
        "COMPOSE_PROJECT_NAME": "updraft",
        "UPDRAFT_STATE": str(state),
        "UPDRAFT_USER": f"{who[0]}:{who[1]}",
        "UPDRAFT_MODELS": str(settings.models),
        **named,
        "UPDRAFT_PLATFORM_IMAGE": platform,
        "UPDRAFT_PORT_BASE": str(settings.port_base),
        "UPDRAFT_GATEWAY_PORT": str(settings.gateway_port),
        "UPDRAFT_MLFLOW_PORT": str(settings.mlflow_port),
        "UPDRAFT_AIRFLOW_PORT": str(settings.airflow_port),
        "UPDRAFT_PROMETHEUS_PORT": str(settings.prometheus_port),
        "UPDRAFT_ALERTMANAGER_PORT": str(settings.alertmanager_port),
        "UPDRAFT_LABELS_PORT": str(settings.labels_port),
        "UPDRAFT_POSTGRES_PORT": str(settings.postgres_port),
    }


def _owner(state: Path) -> tuple[int, int]:
    """Who the containers run as: this user, unless it is root; then everything is given to another."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    for path in (state, *state.rglob("*")):
        os.chown(path, *NOT_ROOT, follow_symlinks=False)
    return NOT_ROOT


@spoken
def main(arguments: list[str]) -> int:
    env = lay_out((Path(arguments[0]) if arguments else Settings.load().home / "compose").resolve())
    compose = f"docker compose --env-file {env} -f {FILE.relative_to(REPO)}"
    print(f'Laid out in {env.parent}. Next:\n  make images RUNTIMES="airflow trainer triton"\n  {compose} build\n  {compose} up -d')
    print(f"Airflow's users and passwords stand in {env.parent / 'home' / 'credentials.json'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
