"""Random credentials, generated once, kept in one file that only its owner can read."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from include import atomic
from include.errors import InputError

ADMIN = "admin"
SERVICE = "updraft"
"""The Airflow user that tasks use for the plugins' REST API (role `op`, no admin rights)."""
VIEWER = "viewer"


def _password() -> str:
    return secrets.token_urlsafe(18)


DATABASE_ROLES = ("postgres", "airflow", "mlflow")
"""PostgreSQL's, where the platform has one: its superuser, and the two that own the tables."""


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Credentials:
    """Every secret of one platform. ``api_keys`` are the gateway's callers by name."""

    airflow_passwords: dict[str, str] = field(default_factory=lambda: {user: _password() for user in (ADMIN, SERVICE, VIEWER)})
    airflow_fernet_key: str = field(default_factory=_fernet_key)
    airflow_jwt_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    airflow_api_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    mlflow_password: str = field(default_factory=_password)
    mlflow_secret_key: str = field(default_factory=lambda: secrets.token_hex(32))
    door_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    """What the tokens are signed with that steps show at MLflow's door."""
    api_keys: dict[str, str] = field(default_factory=lambda: {name: secrets.token_urlsafe(24) for name in ("demo", "updraft")})
    probe_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    database_passwords: dict[str, str] = field(default_factory=lambda: {role: secrets.token_hex(24) for role in DATABASE_ROLES})
    s3_password: str = field(default_factory=_password)
    exporter_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What Prometheus shows at the exporter."""
    alerts_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What Alertmanager shows at the webhook that takes alerts."""
    prometheus_password: str = field(default_factory=_password)
    redis_password: str = field(default_factory=lambda: secrets.token_hex(24))
    labels_password: str = field(default_factory=_password)
    """Of Label Studio's administrator."""
    labels_token: str = field(default_factory=lambda: secrets.token_hex(20))
    """What the platform shows at Label Studio's API."""
    labels_secret_key: str = field(default_factory=lambda: secrets.token_hex(32))

    @classmethod
    def load_or_create(cls, home: Path) -> Credentials:
        """The credentials of the platform in ``home``; what is missing is generated (mode 0600, atomically)."""
        path = home / "credentials.json"
        credentials = cls.load(home) if path.exists() else cls()
        text = json.dumps(asdict(credentials), indent=1)
        if not path.exists() or path.read_text() != text:
            atomic.write(path, text)
        return credentials

    @classmethod
    def load(cls, home: Path) -> Credentials:
        path = home / "credentials.json"
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise InputError("there are no credentials yet.", where=str(path), remedy="Start the platform with `make up`.") from None
        except (ValueError, TypeError) as error:
            raise InputError(
                f"not a credentials file ({error}).", where=str(path), remedy="Repair it, or remove it and run `make up`."
            ) from None
