"""kill -9 in the middle of a transaction: nothing that was acknowledged is lost, nothing is given out twice."""

import os
import subprocess
import sys

import pytest

from include.pool.ask import Ask
from include.pool.state import LeaseState
from include.runtime.settings import REPO
from tests.plugins.gpu_pool.asking import PATIENCE_S, kept, live, node, overlaps, oversubscribed, report, submit


@pytest.mark.parametrize("commits", [0, 1, 2, 7, 20])
def test_a_server_killed_in_a_transaction(database, start, commits):
    survivor = start(database)
    report(survivor, 1, node(gpus=2))
    command = [sys.executable, "-m", "tests.plugins.gpu_pool.hammer", database, str(commits)]
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    done = subprocess.run(command, env=environment, cwd=REPO, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == -9
    said = [line.split() for line in done.stdout.splitlines()]
    leases = {lease.id: lease for lease in kept(database)}
    released = {words[1] for words in said if words[0] == "released"}
    for words in said:
        if words[0] == "granted":
            assert leases[words[1]].token == int(words[2])
    assert all(leases[lease].state is LeaseState.ENDED for lease in released)
    assert oversubscribed(leases.values()) == {} and overlaps(leases.values()) == []
    assert {lease.id for lease in live(survivor)} == {lease.id for lease in leases.values() if lease.state is not LeaseState.ENDED}
    for number in range(8):  # the other server goes on at once, and a new one takes up the same books
        submit(survivor if number % 2 else start(database), f"after{number}", Ask(fraction=0.25)).result(PATIENCE_S)
    after = kept(database)
    assert oversubscribed(after) == {} and overlaps(after) == []
    assert len({lease.token for lease in after}) == len(after)
