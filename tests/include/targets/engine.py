"""The Docker engine that tests take, or the reason why they are skipped."""

from typing import Any

import pytest

from include.targets import images


def engine() -> Any:
    """A client of the engine that DOCKER_HOST names, or of this machine's."""
    from docker.api.client import APIClient
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    try:
        return APIClient(version="auto", timeout=120, **kwargs_from_env())
    except DockerException as error:
        pytest.skip(f"no Docker engine answers (DOCKER_HOST): {str(error)[:200]}")


def with_image(client: Any, runtime: str) -> Any:
    """The client, of an engine that has the runtime's image."""
    name = images.name(runtime)
    if not client.images(name):
        pytest.skip(f"this Docker engine has no image {name}: run `make images RUNTIMES={runtime}`")
    return client
