"""What a service of `docker/compose.yaml` does: the same programs as `make up` runs, each in a container of its own.

python -m include.platform.service provide         once, first: databases, tables, buckets, configuration
python -m include.platform.service run PROGRAM     become the program
python -m include.platform.service keep            supervisord for steps, servers and keepers; Airflow's settings; the GPUs' agent
python -m include.platform.service healthy PROGRAM
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from types import FrameType

from include.errors import InputError, UpdraftError, spoken
from include.gateway.gateway import Gateway
from include.platform import airflow, airflow_settings, alerting, gpus, labelling, postgres, s3, scale, supervisord
from include.platform.health import answers, questions
from include.platform.migrate import migrate
from include.platform.programs import celery_workers, keepers, platform_programs
from include.platform.up import DOWN_S, forget_all_but_revisions, start_gpu_agent, values
from include.runtime import pinned
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import PRIVATE, Settings
from include.runtime.supervisor import Program, Supervisor

START_S = 600.0
"""What another service needs until it answers, at the first start and on a busy machine (seconds)."""
LOOK_S = 2.0


def say(text: str) -> None:
    print(text, flush=True)


def provide(settings: Settings) -> int:
    """All that must be there before the others start. May be repeated."""
    credentials = Credentials.load(settings.home)
    airflow.write(settings, credentials)
    postgres.provide(scale.postgres_host(settings), settings.postgres_port, "postgres", credentials.database_passwords, scale.OWNERS)
    say("  postgres answers")
    for bucket in s3.buckets(settings):
        s3.make_bucket(bucket)
        say(f"  bucket {bucket} is there")
    for folder in ("mlflow", "revisions"):
        (settings.home / folder).mkdir(exist_ok=True)
    alerting.write(settings, credentials, settings.home / "prometheus")
    migrate(settings, say)
    Gateway(settings).prepare()
    say("  everything is there")
    return 0


def programs(settings: Settings) -> dict[str, Program]:
    """By name: those that have a service of their own."""
    credentials = Credentials.load(settings.home)
    kept = {program.name for program in keepers(settings)}
    known = (*platform_programs(settings, credentials), *celery_workers(settings), alerting.exporter(settings), _s3(settings))
    found = {program.name: program for program in known}
    return {name: program for name, program in found.items() if name not in kept}


def run(settings: Settings, name: str) -> int:
    """Become the program. Raises InputError for a name that there isn't."""
    program = _s3(settings) if name == s3.NAME else _known(settings, name)
    os.chdir(program.directory)
    os.execve(program.command[0], program.command, os.environ | program.environment)


def keep(settings: Settings) -> int:
    """Until told to end, or supervisord has ended; then the container's restart begins anew. What serves goes on while Airflow is away."""
    signal.signal(signal.SIGTERM, _end)
    supervisor = Supervisor(settings)
    try:
        supervisord.end_orphans(settings)
        forget_all_but_revisions(settings)
        supervisord.start(settings, os.environ)
        furnished = False
        while supervisor.running():
            furnished = furnished or _furnished(settings, supervisor)
            time.sleep(LOOK_S)
        say("supervisord has ended.")
        return 1
    finally:
        supervisor.shutdown(timeout_s=DOWN_S)


def _furnished(settings: Settings, supervisor: Supervisor) -> bool:
    """Whether Airflow answers, and has its connections and pools; then the keepers and the GPUs' agent are started."""
    credentials = Credentials.load(settings.home)
    if not answers(questions(settings, credentials)["airflow"]):
        return False
    api = AirflowApi(settings.airflow_url, ADMIN, credentials.airflow_passwords[ADMIN])
    try:
        declared = airflow_settings.read(settings.repo / "airflow_settings.yaml", values(settings, credentials))
        declared["connections"] += labelling.connections(settings, credentials)
        pinned.pin(settings, declared["connections"])
        airflow_settings.apply(api, declared)
    except UpdraftError as error:
        say(f"Airflow has not taken its settings: {error} Trying again.")
        return False
    for program in keepers(settings):
        supervisor.start_program(program)
    start_gpu_agent(settings, supervisor, api, gpus.reporter(), say)
    return True


def _s3(settings: Settings) -> Program:
    """Started before `provide`, which waits for it: Airflow's configuration, which other programs are known by, is not there yet."""
    return s3.program(settings, Credentials.load(settings.home), settings.home / s3.NAME)


def _known(settings: Settings, name: str) -> Program:
    found = programs(settings)
    if name not in found:
        raise InputError(f"{name!r:.60} is no service.", where="run", remedy=f"Use one of: {', '.join(sorted(found))}.")
    return found[name]


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


@spoken
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m include.platform.service", description=__doc__)
    parser.add_argument("word", choices=("provide", "run", "keep"))
    parser.add_argument("program", nargs="?", default="")
    arguments = parser.parse_args()
    os.umask(PRIVATE)
    settings = Settings.load()
    match arguments.word:
        case "provide":
            return provide(settings)
        case "keep":
            return keep(settings)
        case _:
            return run(settings, arguments.program)


if __name__ == "__main__":
    sys.exit(main())
