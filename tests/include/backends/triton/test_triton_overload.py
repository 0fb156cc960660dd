"""A server that is asked for more than it can: what its callers have given up is not computed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from include.backends.triton.spec import TritonServe

pytestmark = pytest.mark.integration
DELAY_S, PATIENCE_S, AT_ONCE = 0.2, 0.5, 20


@pytest.fixture(scope="module")
def revision(stage):
    serve = TritonServe(batch_delay_us=0, wrapper="serving:Wrapper", request_timeout_s=PATIENCE_S, max_batch_size=2)
    revision = stage.backend.start(stage.bundles / "good", "slow", "1", serve, {"sleep_s": DELAY_S})
    yield revision
    stage.backend.stop(revision)


def ask(stage: Any, revision: Any) -> tuple[int, float]:
    started = time.monotonic()
    url, body = f"{revision.url}/v2/models/slow/infer", stage.golden_request()
    answer = httpx.post(url, json=body, headers=stage.key(revision), timeout=30)
    return answer.status_code, time.monotonic() - started


def test_what_has_waited_longer_than_its_caller_does_is_refused_and_the_next_is_answered_in_time(stage, revision):
    assert ask(stage, revision)[0] == 200
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda _: ask(stage, revision), range(AT_ONCE)))
    answered = [seconds for status, seconds in found if status == 200]
    assert 1 <= len(answered) < AT_ONCE / 2 and {status for status, _ in found} == {200, 503}
    assert max(seconds for _, seconds in found) < AT_ONCE * DELAY_S, "nobody waits for all of the others"
    assert ask(stage, revision)[0] == 200
