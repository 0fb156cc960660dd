"""A password's bcrypt hash, by the C library: the only form in which Prometheus' servers know a login."""

from __future__ import annotations

import warnings
from pathlib import Path

import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt  # it goes with Python 3.13; Updraft's is 3.11

ROUNDS = 1024


def bcrypt(password: str, kept: Path) -> str:
    """Return the password's hash: the one in the file ``kept`` when it still is this password's, so that nothing changes without need."""
    try:
        for before in yaml.safe_load(kept.read_text())["basic_auth_users"].values():
            if crypt.crypt(password, before) == before:
                return str(before)
    except (OSError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        pass
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=ROUNDS))
