"""S3 for the platform in containers: SeaweedFS, one process, its files in the platform's home.

Whoever comes to S3 needs the platform's key; the parts behind it ask each other for tokens, but its master and its gRPC ports know no
login: they are for a network that nobody else is in, that of `docker/compose.yaml`.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from include import atomic
from include.platform.compose import S3_KEY
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Program

NAME = "s3"
PARTS = ("master", "volume", "filer")
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
            *("-filer", "-s3", f"-s3.port={first}", f"-s3.config={folder / 'identities.json'}", "-s3.port.iceberg=0"),
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
