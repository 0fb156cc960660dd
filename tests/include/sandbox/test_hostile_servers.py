"""A hostile ``serving.py`` in Triton's Python backend on target `process`: it serves, and reaches nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.runtime.sandbox.offered import Offered
from include.runtime.supervisor import Supervisor
from include.serving.revisions import Revisions
from tests.include.sandbox import contained
from tests.include.sandbox.skeleton import Platform

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Offered.here().view or Offered.here().abi < 6, reason="this kernel offers less: make up says what"),
]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    found = Platform()
    yield found
    found.close()


def test_all_that_a_hostile_wrapper_tries_is_refused_and_it_serves(platform, tmp_path):
    revisions = Revisions(platform.settings, Supervisor(platform.settings))
    got = contained.got_by_a_wrapper(platform, revisions, "process", tmp_path)
    assert contained.not_refused(got, contained.OF_STEPS) == {}
