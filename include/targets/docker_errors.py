"""What a Docker engine says no with, in words for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from include.errors import ComponentError, InputError, UpdraftError

CONNECTION = "connection updraft_docker"
ENGINE = "Docker engine"


class EngineAway(ComponentError):
    """Nobody answers: what was asked for may have been done, or not."""


_ASKED = (  # part of the engine's sentence, what is wrong, where, what to do
    (
        r"could not select device driver|nvidia-container-cli|unresolvable CDI devices",
        "the Docker host can hand no GPU to a container",
        "model.yaml: resources",
        "Use a host with NVIDIA's driver and container toolkit, or ask for no GPU.",
    ),
    (
        r"bind source path does not exist|is not shared from the host|[Mm]ounts denied",
        "the Docker host does not see a folder that the step needs",
        CONNECTION,
        "Updraft's folders must be on a disk that this machine and the Docker host see at the same paths.",
    ),
    (
        r"executable file not found|no such file or directory: unknown",
        "the image lacks what is to run in it",
        "image",
        "Build it anew: `make images`.",
    ),
    (
        r"Range of CPUs",
        "the Docker host has fewer processors than the limit says",
        "model.yaml: limits.cpus",
        "Lower it.",
    ),
    (
        r"[Mm]inimum memory limit",
        "the memory limit is less than Docker takes",
        "model.yaml: limits.memory",
        "Raise it.",
    ),
    (
        r"network \S+ not found|cannot join network|invalid .*network",
        "the Docker host has no such network",
        f"{CONNECTION}: network",
        "Make it there (`docker network create`), or name another.",
    ),
    (
        r"exec format error|does not match the (specified|detected) (host )?platform",
        "the image is for another kind of processor than the Docker host's",
        "image",
        "Build it on the Docker host: `make images`.",
    ),
    (
        r"unauthorized|authentication required|denied: |pull access denied",
        "the registry refuses",
        CONNECTION,
        "Check its login and password, and that the image is there.",
    ),
)


def explained(error: Exception) -> UpdraftError:
    """An exception of the docker package or of requests beneath it, as what the user or the engine has done."""
    from docker.errors import APIError

    if not isinstance(error, APIError):
        remedy = f"Is it running? Its address is in {CONNECTION} (extra: engine), else in DOCKER_HOST of `make up`."
        return EngineAway(f"does not answer ({error}).", where=ENGINE, remedy=remedy)
    said = str(error.explanation or error).strip().rstrip(".")
    for pattern, what, where, remedy in _ASKED:
        if re.search(pattern, said):
            return InputError(f"{what} ({said}).", where=where, remedy=remedy)
    if "no space left on device" in said:
        return ComponentError(f"the Docker host's disk is full ({said}).", where=ENGINE, remedy="Make room there: `docker system df`.")
    return ComponentError(f"refuses: {said}.", where=ENGINE)


@contextmanager
def told() -> Iterator[None]:
    """Raises what goes wrong with the engine as ComponentError (it may pass) or InputError (it won't by itself)."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException) as error:
        raise explained(error) from None


@contextmanager
def no_matter(*statuses: int) -> Iterator[None]:
    """Answers of these HTTP statuses are as good as success: it is gone, or has ended."""
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        if error.status_code not in statuses:
            raise
