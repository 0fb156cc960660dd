"""Two thousand requests in random histories, with node losses, outages and clock jumps: what the pool promises holds all along."""

from __future__ import annotations

import pytest

from tests.include.pool.history import History

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_the_pool_keeps_what_it_promises(seed: int):
    history = History(seed, 400)
    history.run()
    history.nothing_is_left()
    assert history.ended["preempted"] + history.ended["reclaimed"] > 0 and history.ended["released"] > 350 and history.outages
