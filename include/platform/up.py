"""`make up` and `make down`: the whole platform from nothing, or to nothing. Both may be repeated."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from include.errors import ComponentError, InputError, UpdraftError
from include.gateway.gateway import Gateway
from include.kubernetes.client import CONNECTION
from include.platform import (
    airflow,
    airflow_settings,
    alerting,
    continuous,
    door,
    gpus,
    health,
    labelling,
    listeners,
    model_dags,
    one_node,
    postgres,
    restoring,
    s3,
    scale,
    supervisord,
)
from include.platform.migrate import migrate, stamp
from include.platform.programs import celery_workers, data_programs, gpu_agent, platform_programs
from include.runtime import pinned
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.sandbox.offered import Offered
from include.runtime.settings import Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.runtime.waiting import until
from include.serving.host import networks
from include.serving.revisions import Revisions

Say = Callable[[str], None]
START_S = 240
REVISIONS_S = 30
"""Live revisions are given this long to load before the gateway opens without them (seconds)."""
DOWN_S = 120
"""One program after the other stops, each within its own bound; PostgreSQL, which comes last, is not to be killed."""
TAIL_LINES = 15
AIRFLOW_PAGES = "airflow-api-server"
FIRST = (AIRFLOW_PAGES, "mlflow", "run-door")
FEW_CORES, PAGES, PAGES_S = 4, "/api/v2/version", 60.0
"""With so few cores, what somebody looks at starts first and has them alone; the rest starts when it answers, or after so many seconds."""
SERVING = {"envoy": "gateway", "mlflow": "mlflow"}
"""Programs that callers and the registry need, and what they are called where they are asked whether they answer."""


def up(settings: Settings, say: Say = print) -> Credentials:
    """Start what is not running, wait until everything answers, apply airflow_settings.yaml. Returns the credentials.

    Raises UpdraftError naming the program, port or tool at fault and what to do.
    """
    _check_runtimes(settings)
    restoring.insist_done(settings)
    _make_private(settings)
    with FileLock(settings.home / "up.lock"):  # two at once would each find half a platform
        size = scale.choose(settings)
        alerting.choose(settings)
        labelling.choose(settings)
        return _up(settings, size, say)


def _make_private(settings: Settings) -> None:
    """Let nobody else look into the home: what user code may read of it, it is shown where it runs (include/runtime/sandbox). Who may pass
    through it, as PostgreSQL's user does where root starts it, is left as it is."""
    made = not settings.home.exists()
    settings.home.mkdir(parents=True, exist_ok=True)
    if made:
        passes = 0o711 if postgres.owner() and os.environ.get(scale.VARIABLE) == scale.Scale.SCALED else 0o700
    else:
        passes = 0o700 | settings.home.stat().st_mode & 0o011
    settings.home.chmod(passes)


def _up(settings: Settings, size: scale.Scale, say: Say) -> Credentials:
    credentials = Credentials.load_or_create(settings.home)
    if settings.target == "kubernetes" and not _may_know_a_cluster(settings):
        one_node.look(door.address(settings))  # what is missing is better said now than in a minute
    _open_to_user_code(say)
    who = gpus.reporter(settings.target)
    supervisor = Supervisor(settings)
    own_s3 = s3.choose(settings, credentials)
    airflow.write(settings, credentials)
    if not supervisor.running():
        ended = supervisord.end_orphans(settings)
        if ended:
            say(f"  ended {ended} processes that a killed supervisord had left behind")
        _check_ports(settings)
        forget_all_but_revisions(settings)
        supervisord.start(settings)
    (settings.home / "mlflow").mkdir(exist_ok=True)
    _prepare_gateway(settings, say)
    envoy, *others = platform_programs(settings, credentials)
    supervisor.start_program(envoy)
    if own_s3:
        _start_s3(settings, credentials, supervisor, say)
    if size is scale.Scale.SCALED:
        _start_databases(settings, credentials, supervisor, say)
        others += celery_workers(settings)
    migrate(settings, say)
    _start_all(settings, supervisor, [*others, *continuous.programs(settings)])
    for name, question in health.questions(settings, credentials).items():
        _wait(supervisor, settings, name, question)
        say(f"  {name} answers")
    if size is scale.Scale.SCALED:
        _wait_for_workers(settings, credentials, supervisor, say)
    api = AirflowApi(settings.airflow_url, ADMIN, credentials.airflow_passwords[ADMIN])
    declared = airflow_settings.read(settings.repo / "airflow_settings.yaml", values(settings, credentials))
    declared["connections"] += labelling.connections(settings, credentials)
    pinned.pin(settings, declared["connections"])
    airflow_settings.apply(api, declared)
    start_gpu_agent(settings, supervisor, api, who, say)
    _watch(settings, credentials, supervisor, say)
    _start_labels(settings, credentials, supervisor, say)
    _open_door(settings, supervisor, one_node.prepare(settings, api, who, say), say)
    if cluster := api.get(f"/api/v2/connections/{CONNECTION}", missing_ok=True):
        pinned.pin_door(settings, json.loads(cluster.get("extra") or "{}"))
    model_dags.wait_for(settings, api, say)
    return credentials


def _start_all(settings: Settings, supervisor: Supervisor, programs: Sequence[Program]) -> None:
    """What somebody looks at first; with few cores it has them alone."""
    first = [program for program in programs if program.name in FIRST]
    for program in first:
        supervisor.start_program(program)
    if len(os.sched_getaffinity(0)) <= FEW_CORES:
        _wait_for_pages(settings, supervisor)
    for program in programs:
        if program not in first:
            supervisor.start_program(program)


def _wait_for_pages(settings: Settings, supervisor: Supervisor) -> None:
    """Until somebody who looks sees the pages; not for ever, and not for what has failed: who asks for it afterwards says so."""

    def there() -> bool:
        pages = health.Question(f"{settings.airflow_url}{PAGES}", settings.airflow_port)
        return health.is_ours(settings, pages.port) and health.answers(pages)

    until(lambda: there() or supervisor.state(AIRFLOW_PAGES) is State.FATAL, PAGES_S, 0.2)


def _prepare_gateway(settings: Settings, say: Say) -> None:
    """Its files, and those behind it."""
    gateway = Gateway(settings)
    gateway.prepare()
    for name in restoring.revive(settings):
        say(f"  {name} is restored")
    _wait_for_revisions(settings, gateway, say)


def serve_alone(settings: Settings, say: Say = print) -> Credentials:
    """Start what answers callers, and MLflow, and nothing that begins runs or tells anybody: what a restored backup is tried with."""
    _check_runtimes(settings)
    restoring.insist_done(settings)
    credentials = Credentials.load(settings.home)
    airflow.write(settings, credentials)
    _check_ports(settings)
    supervisor = Supervisor(settings)
    supervisord.start(settings)
    _prepare_gateway(settings, say)
    if scale.chosen(settings) is scale.Scale.SCALED:
        _start_databases(settings, credentials, supervisor, say)
    migrate(settings, say)
    wanted = health.questions(settings, credentials)
    for program in platform_programs(settings, credentials):
        if program.name in SERVING:
            supervisor.start_program(program)
    for name in SERVING.values():
        _wait(supervisor, settings, name, wanted[name])
    return credentials


def _watch(settings: Settings, credentials: Credentials, supervisor: Supervisor, say: Say) -> None:
    """Prometheus, Alertmanager and the exporter, where they are wanted; ended where they no longer are."""
    if not alerting.chosen(settings):
        for name in alerting.NAMES:
            supervisor.stop_program(name)
        return
    for program in alerting.programs(settings, credentials):
        supervisor.start_program(program)
    for name, question in alerting.questions(settings, credentials).items():
        _wait(supervisor, settings, name, question)
        say(f"  {name} answers")


def _start_labels(settings: Settings, credentials: Credentials, supervisor: Supervisor, say: Say) -> None:
    """Label Studio, where it is wanted; ended where it no longer is."""
    if not labelling.chosen(settings):
        supervisor.stop_program(labelling.NAME)
        return
    supervisor.start_program(labelling.program(settings, credentials))
    _wait(supervisor, settings, labelling.NAME, labelling.question(settings), labelling.START_S)
    say("  label-studio answers")


def _may_know_a_cluster(settings: Settings) -> bool:
    """Whether Airflow has a connection to one, as far as can be told while it does not run."""
    declared = settings.repo / "airflow_settings.yaml"
    return stamp(settings).exists() or (declared.exists() and CONNECTION in declared.read_text())


def _open_door(settings: Settings, supervisor: Supervisor, host: str, say: Say) -> None:
    """MLflow's, for steps in pods. The link to a cluster may be gone: that is no reason to be down."""
    if not host or not door.is_here(host):
        supervisor.stop_program(door.PROGRAM)
        if host:
            say(f"  {host} is no address of this machine now: pods don't reach MLflow")
        return
    supervisor.start_program(door.program(settings, host))
    _wait(supervisor, settings, door.PROGRAM, health.Question(f"{door.url(settings, host)}/health", settings.mlflow_door_port))


def _start_databases(settings: Settings, credentials: Credentials, supervisor: Supervisor, say: Say) -> None:
    """PostgreSQL with its roles and databases, and Redis."""
    data = scale.postgres_data(settings)
    postgres.initialise(postgres.binaries(data), data, "postgres", credentials.database_passwords["postgres"])
    postgres.make_socket_folder(Path(scale.postgres_host(settings)))
    for program in data_programs(settings, credentials):
        supervisor.start_program(program)
    passwords = credentials.database_passwords
    postgres.provide(scale.postgres_host(settings), settings.postgres_port, "postgres", passwords, scale.OWNERS)
    say("  postgres answers")


def _start_s3(settings: Settings, credentials: Credentials, supervisor: Supervisor, say: Say) -> None:
    """S3 with its buckets."""
    supervisor.start_program(s3.held(settings, credentials))
    os.environ.update(settings.s3_environment)
    for bucket in s3.buckets(settings):
        s3.make_bucket(bucket)
    say("  s3 answers")


def _open_to_user_code(say: Say) -> None:
    """What holds user code here, and what does not."""
    offered = Offered.here()
    say(f"  user code is held by {offered.held()}")
    for sentence in offered.missing():
        say(f"  NOT PROTECTED from user code: {sentence} (docs/user-code.md)")
    if not networks():
        say("  NOT PROTECTED from this machine: servers of backends ollama and custom answer whoever asks them here (docs/security.md)")


def _wait_for_workers(settings: Settings, credentials: Credentials, supervisor: Supervisor, say: Say) -> None:
    """Celery's workers say themselves that they are there; that takes Redis, too."""
    from celery import Celery

    app = Celery(broker=scale.broker(settings, credentials), broker_connection_retry_on_startup=False)

    def there() -> bool:
        try:
            return len(app.control.ping(timeout=1.0)) >= scale.WORKERS
        except app.connection_for_write().connection_errors:
            return False

    _wait_for(there, supervisor, settings, "celery-worker", "Redis")
    say(f"  {scale.WORKERS} Celery workers answer")


def start_gpu_agent(settings: Settings, supervisor: Supervisor, api: AirflowApi, who: gpus.Reporter, say: Say) -> None:
    """Last: the pool must answer, and know its GPUs before somebody asks for one. A pool that doesn't is no reason to be down."""
    try:
        gpus.enrol(api, settings, who)
        supervisor.start_program(gpu_agent(settings, who))
        line = gpus.wait_for_report(api, who)
    except UpdraftError as error:
        say(f"  the GPU pool is not at work ({error}); `make up` tries again")
        return
    say(f"  GPUs: {line}" if line else f"  no report of the GPUs yet; see {settings.logs / 'gpu-agent.log'}")


def down(settings: Settings) -> int:
    """Stop everything; state stays. Returns how many processes had to be ended without supervisord."""
    Supervisor(settings).shutdown(timeout_s=DOWN_S)
    return supervisord.end_orphans(settings)


def values(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """What airflow_settings.yaml may name."""
    return {
        "AIRFLOW_URL": settings.airflow_url,
        "AIRFLOW_SERVICE_PASSWORD": credentials.airflow_passwords[SERVICE],
        "MLFLOW_URL": settings.mlflow_url,
        "MLFLOW_PASSWORD": credentials.mlflow_password,
        "MLFLOW_DOOR_URL": settings.mlflow_door_url,
        "MLFLOW_DOOR_SECRET": credentials.door_secret,
        "GATEWAY_URL": settings.gateway_url,
        "GATEWAY_PROBE_SECRET": credentials.probe_secret,
    }


def _wait(supervisor: Supervisor, settings: Settings, name: str, question: health.Question, start_s: float = START_S) -> None:
    def there() -> bool:
        return health.is_ours(settings, question.port) and health.answers(question)

    _wait_for(there, supervisor, settings, name, question.url, start_s)


def _wait_for(
    there: Callable[[], bool], supervisor: Supervisor, settings: Settings, name: str, address: str, start_s: float = START_S
) -> None:
    def dead() -> list[str]:
        return [program for program, state in supervisor.programs().items() if program.startswith(name) and state is State.FATAL]

    until(lambda: there() or dead(), start_s, 0.5)
    if there():
        return
    what = "does not start" if (ended := dead()) else f"has not answered at {address} within {start_s:g} s"
    program = ended[0] if ended else name
    remedy = "See `make logs`." if ended else "A busy machine may take longer: `make up` once more goes on from here. See `make logs`."
    raise ComponentError(f"{what}. Its last lines:\n{tail(settings, program)}", where=program, remedy=remedy)


def tail(settings: Settings, program: str) -> str:
    """The last lines of a program's log."""
    lines = [line for path in sorted(settings.logs.glob(f"{program}*.log")) for line in path.read_text(errors="replace").splitlines()]
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def _check_runtimes(settings: Settings) -> None:
    for runtime in ("airflow", "trainer", "triton"):
        if not settings.python(runtime).exists():
            raise InputError(f"runtime {runtime} is not installed.", where=str(settings.runtimes), remedy="Run `make install`.")


def _check_ports(settings: Settings) -> None:
    ports = {
        "airflow": settings.airflow_port,
        "mlflow": settings.mlflow_port,
        "run-door": settings.mlflow_door_port,
        "gateway": settings.gateway_port,
    }
    if settings.own_s3:
        ports |= {s3.NAME: settings.s3_port}
    if alerting.chosen(settings):
        ports |= {"prometheus": settings.prometheus_port, "alertmanager": settings.alertmanager_port, "exporter": settings.exporter_port}
    if labelling.chosen(settings):
        ports |= {labelling.NAME: settings.labels_port}
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError:
                raise InputError(
                    f"port {port} is taken by {_holder(port)}.",
                    where=name,
                    remedy=f"End that, or choose other ports: `make up UPDRAFT_PORT_BASE={settings.port_base + 10000}`.",
                ) from None


def _holder(port: int) -> str:
    """The process that listens on a port, as far as this user may know."""
    for process in listeners.holders(port):
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"process {process} ({command[:80]})"
    return "another process"


def forget_all_but_revisions(settings: Settings) -> None:
    """A new supervisord starts what was in production, by itself. Steps are asked for anew by their tasks, the rest is started here."""
    for program in settings.supervisor_programs.glob("*"):
        if not program.name.startswith("revision-"):
            program.unlink()


def _wait_for_revisions(settings: Settings, gateway: Gateway, say: Say) -> None:
    """Open the door only when those behind it can answer: a trial must not count the platform's own start against its canary."""
    backend = Revisions(settings)
    live = [(model, version) for model in gateway.models() if (split := gateway.split(model)) for version in split.weights]
    deadline = time.monotonic() + REVISIONS_S
    for model, version in live:
        while (revision := backend.find(model, version)) is not None and not backend.ready(revision):
            if time.monotonic() > deadline:
                say(f"  revision {version} of {model} is not ready; see {settings.logs / revision.program}.log")
                break
            time.sleep(0.1)
