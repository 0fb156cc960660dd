"""What user code shows at MLflow's door: a signed token that names one run, what else may be read, and when it ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from include.errors import UpdraftError

AUDIENCE = "updraft-mlflow-door"
ALGORITHM = "HS256"


class NotGranted(UpdraftError):
    """Whoever came has no token, or none that is good any more."""


@dataclass(frozen=True)
class Grant:
    """What a token is good for: the MLflow run ``run`` ("" for none), and reading the model versions ``reads`` (``models:/name/version`` or
    ``models:/name@alias``)."""

    run: str = ""
    reads: tuple[str, ...] = ()
    step: str = ""
    """For the door's log alone."""


def sign(grant: Grant, secret: str, now: float, lifetime_s: float) -> str:
    """The token; ``now`` is seconds since the epoch."""
    claims = {"aud": AUDIENCE, "exp": int(now + lifetime_s), "run": grant.run, "reads": list(grant.reads), "step": grant.step}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify(token: str, secret: str, now: float) -> Grant:
    """What it grants. NotGranted for another's signature, another algorithm, or a token that has ended."""
    try:
        options = {"require": ["exp", "aud"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], audience=AUDIENCE, options=options)  # type: ignore[arg-type]
        if int(claims["exp"]) <= now:
            raise NotGranted("the token has ended.", where="Authorization", remedy="Clear the task: its next try is given another.")
        return Grant(str(claims["run"]), tuple(str(uri) for uri in claims["reads"]), str(claims["step"]))
    except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
        raise NotGranted("no token of this platform.", where="Authorization", remedy="A step has one in MLFLOW_TRACKING_TOKEN.") from None
