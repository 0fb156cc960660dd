"""Label Studio's settings, whatever runs it: a program of this machine, or a container. Standard library only, as `make compose` is."""

from __future__ import annotations

import shlex
from pathlib import Path

from include import atomic
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

VARIABLE = "UPDRAFT_LABELS"
NAME = "label-studio"
CHOICE = "with-labels"
"""The file of the home that keeps whether it is wanted."""
USER = "admin@updraft.local"
"""Label Studio's administrator: its users are known by e-mail addresses."""
QUIET = "sitecustomize.py"
"""What its Python reads at its start."""
_QUIET = """\
import logging

# Invitations stand in addresses, and Django's server logs these.
logging.getLogger("django.server").addFilter(lambda record: "token=" not in record.getMessage())
"""


def environment(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Return Label Studio's settings. Nothing of it leaves the machine: no figures about its use, no question for a newer version, and no
    address that a task names is fetched from this machine or its network."""
    local = f"{settings.labels_url},http://localhost:{settings.labels_port}"
    return {
        "LABEL_STUDIO_BASE_DATA_DIR": str(settings.home / NAME),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": credentials.labels_password,
        "LABEL_STUDIO_USER_TOKEN": credentials.labels_token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_SECRET_KEY": credentials.labels_secret_key,
        "SECRET_KEY": credentials.labels_secret_key,
        "DJANGO_DB": "sqlite",
        "GIT_DIR": "/dev/null",  # it would show everybody the last commit of the repository that it is installed in
        "PYTHONPATH": str(settings.home / NAME),
        "DEBUG": "false",
        "ALLOWED_HOSTS": f"{settings.host},localhost",
        "CORS_ALLOWED_ORIGINS": local,
        "SSRF_PROTECTION_ENABLED": "true",
        "LOCAL_FILES_SERVING_ENABLED": "false",  # unsaid, a folder of a certain name beside it would be served
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "false",
        "HOME": str(settings.home / NAME),
    }


def prepare(settings: Settings) -> Path:
    """Make the folder in which it keeps all, and return it."""
    home = settings.home / NAME
    home.mkdir(parents=True, exist_ok=True)
    atomic.write(home / QUIET, _QUIET)
    return home


def as_script(settings: Settings, credentials: Credentials) -> str:
    """Return the same as lines that a shell reads, for a container in which it runs: of a home that is mounted at the same path."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment(settings, credentials).items())
