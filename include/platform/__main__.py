"""``python -m include.platform up | down | status | logs | login``: what the Makefile calls."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from include.errors import UpdraftError, spoken
from include.platform import alerting, labelling, listeners
from include.platform.gpus import summary
from include.platform.health import Question, answers, is_ours, questions
from include.platform.up import down, up
from include.runtime import family
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, VIEWER, Credentials
from include.runtime.settings import PRIVATE, Settings
from include.runtime.supervisor import State, Supervisor


@spoken
def main() -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make status | head` is no error
    parser = argparse.ArgumentParser(prog="python -m include.platform", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "logs"))
    parser.add_argument("--show", action="store_true", help="the passwords and the key as well")
    arguments = parser.parse_args()
    os.umask(PRIVATE)
    settings = Settings.load()
    return int(COMMANDS[arguments.command](settings, arguments.show))


def _up(settings: Settings, show: bool) -> int:
    print("Starting Updraft ...", flush=True)
    credentials = up(settings, lambda line: print(line, flush=True))
    settings.remember()
    print(where_to_look(settings, credentials, show))
    return 0


def _down(settings: Settings, show: bool) -> int:
    down(settings)
    print("Updraft is down. Its state stays in", settings.home)
    return 0


def _status(settings: Settings, show: bool) -> int:
    states, left = {}, family.family(str(settings.home))
    supervisor = Supervisor(settings)
    if supervisor.running():
        states = supervisor.programs()
    elif not left:
        print("Updraft is down. Start it with `make up`.")
        return 1
    else:
        print(f"  supervisord has died: {len(left)} processes of the platform go on without it, and none is started again that ends.")
        print(f"  `make up` ends them and starts all of it anew. What it said last is in {settings.logs / 'supervisord.log'}.")
    for name, state in sorted(states.items()):
        print(f"  {name:<28} {state}")
    credentials = Credentials.load(settings.home)
    asked = questions(settings, credentials) | (alerting.questions(settings, credentials) if alerting.chosen(settings) else {})
    if labelling.chosen(settings):
        asked |= {labelling.NAME: labelling.question(settings)}
    well = {name: _answers(settings, name, question) for name, question in asked.items()}
    broken = [name for name, state in states.items() if state in (State.FATAL, State.BACKOFF)]
    if well["airflow"]:
        print(f"  GPUs: {_gpus(settings, credentials)}")
    print(where_to_look(settings, credentials, show))
    return 0 if states and all(well.values()) and not broken else 1


def _answers(settings: Settings, name: str, question: Question) -> bool:
    """Whether a server of the platform answers; says so of one that does not, and of none that is another's asks anything."""
    if not is_ours(settings, question.port):
        other = listeners.holders(question.port)
        why = (
            f"process {other[0]}, which is none of this platform's, listens on its port {question.port}" if other else "it does not listen"
        )
        print(f"  {name} does not answer: {why}. Restart it with `make up`; its log is in {settings.logs}.")
        return False
    if answers(question):
        print(f"  {name} answers")
        return True
    print(f"  {name} does not answer. Restart it with `make up`; its log is in {settings.logs}.")
    return False


def _gpus(settings: Settings, credentials: Credentials) -> str:
    try:
        api = AirflowApi(settings.airflow_url, VIEWER, credentials.airflow_passwords[VIEWER], timeout_s=5)
        return summary(api.get("/gpu-pool/v1/inventory"))
    except (UpdraftError, ValueError) as error:  # without the plugin, Airflow's own page answers
        return f"the pool does not answer ({str(error)[:200]})"


def _logs(settings: Settings, show: bool) -> int:
    files = [str(path) for path in sorted(settings.logs.glob("*.log"))]
    if not files:
        print("There are no logs yet. Start Updraft with `make up`.")
        return 1
    try:
        return subprocess.run(["tail", "-n", "20", "-F", *files], check=False).returncode
    except KeyboardInterrupt:
        return 0


def where_to_look(settings: Settings, credentials: Credentials, show: bool = False) -> str:
    """The addresses, for people; with ``show`` the logins and the key as well."""
    hidden = "(make status SHOW=1)"
    airflow, mlflow, key = (
        (f"/ {credentials.airflow_passwords[ADMIN]}", f"/ {credentials.mlflow_password}", credentials.api_keys["demo"])
        if show
        else (hidden, hidden, hidden)
    )
    return (
        f"\n  Airflow   {settings.airflow_url}   login {ADMIN} {airflow}"
        f"\n  MLflow    {settings.mlflow_url}   login {ADMIN} {mlflow}"
        f"\n  Gateway   {settings.gateway_url}/v1/models/<model>:predict   header x-api-key: {key}; KServe: /v2/models/<model>/infer"
        f"\n            {settings.gateway_url}/v1   the same key, for OpenAI's clients\n"
        f"{_prometheus(settings, hidden if not show else f'/ {credentials.prometheus_password}')}"
        f"{_labels(settings, hidden if not show else f'/ {credentials.labels_password}')}"
    )


def _prometheus(settings: Settings, password: str) -> str:
    if not alerting.chosen(settings):
        return ""
    return f"  Prometheus  http://{settings.host}:{settings.prometheus_port}   login {ADMIN} {password}\n"


def _labels(settings: Settings, password: str) -> str:
    if not labelling.chosen(settings):
        return ""
    return f"  Label Studio  {settings.labels_url}   login {labelling.USER} {password}\n"


COMMANDS = {"up": _up, "down": _down, "status": _status, "logs": _logs}

if __name__ == "__main__":
    sys.exit(main())
