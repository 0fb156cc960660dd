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
    attempt: str = ""
    """``<step>/<random>``: one try of a step. The run's tag :func:`try_tag` says which try is the one at work."""


def try_tag(step: str) -> str:
    """Name the tag of a run that says which try of ``step`` may ask."""
    return f"updraft.try.{step}"


def sign(grant: Grant, secret: str, now: float, lifetime_s: float) -> str:
    """The token; ``now`` is seconds since the epoch."""
    own = {"run": grant.run, "reads": list(grant.reads), "step": grant.step, "try": grant.attempt}
    claims = {"aud": AUDIENCE, "exp": int(now + lifetime_s), **own}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify(token: str, secret: str, now: float) -> Grant:
    """What it grants. NotGranted for another's signature, another algorithm, or a token that has ended."""
    try:
        options = {"require": ["exp", "aud"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], audience=AUDIENCE, options=options)  # type: ignore[arg-type]
        if int(claims["exp"]) <= now:
            raise NotGranted("the token has ended.", where="Authorization", remedy="Clear the task: its next try is given another.")
        return Grant(str(claims["run"]), tuple(str(uri) for uri in claims["reads"]), str(claims["step"]), str(claims["try"]))
    except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
        raise NotGranted("no token of this platform.", where="Authorization", remedy="A step has one in MLFLOW_TRACKING_TOKEN.") from None
