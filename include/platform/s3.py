"""S3 of the platform's own: SeaweedFS, one process, its files in the platform's home.

Whoever comes to S3 needs the platform's key; the parts behind it ask each other for tokens, but its master and its gRPC ports know no
login: they are for a network that nobody else is in. In `docker/compose.yaml` that is the containers'; under `make up` the server has one
of its own, out of which S3's port alone leads.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path

from include import atomic
from include.errors import ComponentError, InputError
from include.platform.compose import S3_KEY, write_s3_files
from include.runtime.credentials import Credentials
from include.runtime.sandbox import policy as policies
from include.runtime.sandbox import users
from include.runtime.sandbox.policy import Policy, platform_ports
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program
from include.serving.host import GUARD, networks

NAME = "s3"
PARTS = ("master", "volume", "filer")
VARIABLE = "UPDRAFT_S3"
START_S = 600.0
"""What it needs until it answers, at the first start and on a busy machine (seconds)."""
VOLUME_MIB = 1024
"""A volume is no longer than this: SeaweedFS makes a new one then."""


def program(settings: Settings, credentials: Credentials, folder: Path) -> Program:
    """The server, as supervisord or a container runs it; ``folder`` is its own. Its files are written."""
    data, first = folder / "data", settings.s3_port
    data.mkdir(parents=True, exist_ok=True)
    identity = {
        "name": S3_KEY,
        "credentials": [{"accessKey": S3_KEY, "secretKey": credentials.s3_password}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    atomic.write(folder / "identities.json", json.dumps({"identities": [identity]}, indent=1))
    if not (folder / "security.toml").exists():  # found in the folder where it is started
        atomic.write(folder / "security.toml", security())
    ports = [f"-{part}.port={first + number}" for number, part in enumerate(PARTS, 1)]
    grpc = [f"-{part}.port.grpc={first + number}" for number, part in enumerate((*PARTS, NAME), 5)]
    return Program(
        name=NAME,
        command=(
            *(str(weed(settings)), "server", f"-dir={data}", f"-ip={settings.host}", f"-ip.bind={settings.host}"),
            *(*ports, *grpc, f"-master.volumeSizeLimitMB={VOLUME_MIB}", "-volume.max=0", "-master.telemetry=false"),
            *("-filer", "-s3", f"-s3.port={first}", f"-s3.config={folder / 'identities.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        ),
        directory=folder,
        log=settings.logs / f"{NAME}.log",
        environment={"HOME": str(folder)},
        start_s=3,
        stop_wait_s=30,
        priority=20,
    )


def weed(settings: Settings) -> Path:
    """SeaweedFS's binary, which its package brings."""
    return settings.python("airflow").with_name("weed")


def security() -> str:
    """By what its parts believe each other: random keys of tokens. For each to read and to write, at volumes and at the filer."""
    sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    return "".join(f'[{section}]\nkey = "{secrets.token_hex(32)}"\n\n' for section in sections)


def choose(settings: Settings, credentials: Credentials) -> bool:
    """Whether the platform has an S3 of its own: ``UPDRAFT_S3=1`` at its first start, or it had one before. Its files are written then.

    Raises InputError, and changes nothing, where that can't be.
    """
    if not settings.own_s3:
        if os.environ.get(VARIABLE) != "1":
            return False
        if (settings.home / "mlflow" / "mlflow.db").exists() or (settings.home / "dvc").exists():
            remedy = f"Leave {VARIABLE} (S3=1) away, set UPDRAFT_HOME to another folder, or throw its state away: `make clean`."
            raise InputError("what its runs have stored lies in folders.", where=str(settings.home), remedy=remedy)
        if named := [name for name in ("UPDRAFT_ARTIFACTS", "UPDRAFT_DVC_REMOTE", "UPDRAFT_PREDICTIONS") if os.environ.get(name)]:
            raise InputError(f"{named[0]} names another store.", where=VARIABLE, remedy="Leave one of the two away.")
    if not networks():
        what = "the kernel gives servers no network of their own here, and its inner ports would be everybody's on this machine."
        raise InputError(what, where=VARIABLE, remedy="Use a bucket elsewhere (UPDRAFT_ARTIFACTS, UPDRAFT_DVC_REMOTE), or `make compose`.")
    if not weed(settings).exists():
        raise InputError("there is no SeaweedFS.", where=str(weed(settings)), remedy="Run `make install`.")
    write_s3_files(settings, credentials)
    return True


def held(settings: Settings, credentials: Credentials) -> Program:
    """The same server under `make up`: a user and a network of its own, its folder and nothing else of the platform's."""
    folder = settings.s3 / "server"
    inner = program(settings, credentials, folder)
    atomic.write(folder / "guard.json", json.dumps({"header": "", "key": "", "health": "/"}))  # S3 asks for keys itself
    python = settings.python("airflow")
    policy = Policy(
        name=NAME,
        reads=(*policies.interpreters(settings), *policies.existing([settings.runtimes, REPO / GUARD])),
        writes=(str(folder),),
        bind=tuple(range(settings.s3_port, settings.s3_port + 2 * len(PARTS) + 3)),
        guarded=(f"{settings.host}:{settings.s3_port}",),
        closed=platform_ports(settings),
        hidden=(str(settings.home),),
        users=str(settings.home / users.COUNTER),
        folder=str(folder),
    )
    command = (str(python), "-P", str(REPO / GUARD), str(folder / "guard.json"), "--", *inner.command)
    return replace(inner, command=policy.wrap(command), directory=REPO, listens=policy.guarded)


def buckets(settings: Settings) -> list[str]:
    """Those of MLflow's artifacts, of DVC's remote and of the prediction log."""
    urls = (settings.artifacts, settings.dvc_remote, settings.predictions)
    return [url.removeprefix("s3://").partition("/")[0] for url in urls if url.startswith("s3://")]


def make_bucket(bucket: str) -> None:
    """Unless it is there. Waits for the server. Raises ComponentError when it gives no answer, or refuses."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + START_S
    while True:
        try:
            client = boto3.client("s3")
            if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=bucket)
            return
        except ClientError as error:
            raise ComponentError(f"refuses bucket {bucket}: {error}", where="S3", remedy="See AWS_SHARED_CREDENTIALS_FILE.") from None
        except BotoCoreError as error:
            if time.monotonic() > deadline:
                raise ComponentError(f"gives no answer: {error}", where="S3") from None
            time.sleep(1)
