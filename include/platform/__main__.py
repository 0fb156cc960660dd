"""``python -m include.platform up | down | status | logs | login``: what the Makefile calls."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys

from include.errors import UpdraftError
from include.platform.gpus import summary
from include.platform.up import answers, down, health, up
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, VIEWER, Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import State, Supervisor


def main() -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make status | head` is no error
    parser = argparse.ArgumentParser(prog="python -m include.platform", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "logs"))
    arguments = parser.parse_args()
    try:
        settings = Settings.load()
        return int(COMMANDS[arguments.command](settings))
    except UpdraftError as error:
        print(f"Updraft: {error}", file=sys.stderr)
        return 1


def _up(settings: Settings) -> int:
    print("Starting Updraft ...", flush=True)
    credentials = up(settings, lambda line: print(line, flush=True))
    print(where_to_look(settings, credentials))
    return 0


def _down(settings: Settings) -> int:
    down(settings)
    print("Updraft is down. Its state stays in", settings.home)
    return 0


def _status(settings: Settings) -> int:
    supervisor = Supervisor(settings)
    if not supervisor.running():
        print("Updraft is down. Start it with `make up`.")
        return 1
    states = supervisor.programs()
    for name, state in sorted(states.items()):
        print(f"  {name:<28} {state}")
    silent = [name for name, url in health(settings).items() if not answers(url)]
    broken = [name for name, state in states.items() if state in (State.FATAL, State.BACKOFF)]
    for name in silent:
        print(f"  {name} does not answer. Restart it with `make up`; its log is in {settings.logs}.")
    credentials = Credentials.load(settings.home)
    print(f"  GPUs: {_gpus(settings, credentials)}")
    print(where_to_look(settings, credentials))
    return 1 if silent or broken else 0


def _gpus(settings: Settings, credentials: Credentials) -> str:
    try:
        api = AirflowApi(settings.airflow_url, VIEWER, credentials.airflow_passwords[VIEWER], timeout_s=5)
        return summary(api.get("/gpu-pool/v1/inventory"))
    except (UpdraftError, ValueError) as error:  # without the plugin, Airflow's own page answers
        return f"the pool does not answer ({str(error)[:200]})"


def _logs(settings: Settings) -> int:
    files = [str(path) for path in sorted(settings.logs.glob("*.log"))]
    if not files:
        print("There are no logs yet. Start Updraft with `make up`.")
        return 1
    try:
        return subprocess.run(["tail", "-n", "20", "-F", *files], check=False).returncode
    except KeyboardInterrupt:
        return 0


def where_to_look(settings: Settings, credentials: Credentials) -> str:
    """The addresses and the login, for people."""
    return (
        f"\n  Airflow   {settings.airflow_url}   login {ADMIN} / {credentials.airflow_passwords[ADMIN]}"
        f"\n  MLflow    {settings.mlflow_url}   login {ADMIN} / {credentials.mlflow_password}"
        f"\n  Gateway   {settings.gateway_url}/v2/models/<model>/infer   header x-api-key: {credentials.api_keys['demo']}"
        f"\n            {settings.gateway_url}/v1   the same key, for OpenAI's clients\n"
    )


COMMANDS = {"up": _up, "down": _down, "status": _status, "logs": _logs}

if __name__ == "__main__":
    sys.exit(main())
