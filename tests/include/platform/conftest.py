import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from include.platform import supervisord
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from tests.ports import common_base


@contextmanager
def home() -> Iterator[Settings]:
    """A home of its own under a short path (a socket's may have about 100 characters); nothing runs there yet."""
    settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
    try:
        yield settings
    finally:
        Supervisor(settings).shutdown()
        supervisord.end_orphans(settings, grace_s=0)
        shutil.rmtree(settings.home)


@pytest.fixture
def fresh() -> Iterator[Settings]:
    with home() as settings:
        yield settings


@pytest.fixture(scope="module")
def shared() -> Iterator[Settings]:
    with home() as settings:
        supervisord.start(settings)
        yield settings


@pytest.fixture
def settings(shared: Settings) -> Iterator[Settings]:
    """A home with a real supervisord that has no programs yet."""
    yield shared
    for program in Supervisor(shared).programs():
        Supervisor(shared).stop_program(program)
    for file in shared.home.glob("*"):
        if file.is_file():
            file.unlink()


@pytest.fixture
def supervisor(settings: Settings) -> Supervisor:
    return Supervisor(settings)
