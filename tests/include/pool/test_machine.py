"""Whatever happens in whatever order: no device is given out beyond what it has, and nothing outlives its time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from include.errors import UpdraftError
from include.pool.ask import Ask
from include.pool.state import Config, LeaseState, Quota, RequestState
from tests.include.pool.floor import Floor, gpus, process

pytestmark = pytest.mark.slow

CONFIG = Config(lease_ttl_s=60, waiting_ttl_s=120, notice_s=30, ageing_s=100, node_silent_s=50, node_grace_s=100)
asks = st.one_of(
    st.fixed_dictionaries({"gpus": st.integers(1, 4)}),
    st.fixed_dictionaries({"gpus": st.integers(1, 2), "nodes": st.just(2)}),
    st.fixed_dictionaries({"fraction": st.sampled_from([0.1, 0.3, 0.5, 0.9])}),
    st.fixed_dictionaries({"memory": st.sampled_from(["10GiB", "40GiB", "70GiB"])}),
    st.just({"mig": "1g.10gb"}),
)
others = st.fixed_dictionaries(
    {"priority": st.integers(1, 10), "team": st.sampled_from(["red", "blue"]), "preemptible": st.booleans()},
    optional={"duration_s": st.sampled_from([10.0, 100.0, 1000.0]), "grace_s": st.sampled_from([1.0, 50.0])},
)


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor(
            CONFIG,
            a=gpus("a", 4),
            b=gpus("b", 2, sharing="time-slice"),
            c=[*gpus("c", 3, model="A100-80GB", memory_mib=9_856, mig="1g.10gb"), *gpus("c", 2, model="A100-80GB", sharing="mps")],
        )
        self.pool = self.floor.pool
        self.number = 0

    @rule(size=asks, rest=others)
    def submit(self, size: dict[str, Any], rest: dict[str, Any]) -> None:
        self.number += 1
        self._try(lambda: self.pool.submit(self.floor.now, f"k{self.number}", "user", Ask.from_json(size | rest)))

    @precondition(lambda self: self.pool.requests)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.pool.requests.values(), key=lambda one: one.id)))
        lease = self.pool.leases.get(request.lease_id)
        before = lease.token if lease else 0
        self.pool.submit(self.floor.now, request.key, "user", request.ask)
        assert lease is None or lease.token > before

    @precondition(lambda self: self.pool.leases)
    @rule(data=st.data(), what=st.sampled_from(["renew", "release", "requeue", "force", "cancel", "stale"]))
    def holder(self, data: st.DataObject, what: str) -> None:
        lease = data.draw(st.sampled_from(sorted(self.pool.leases.values(), key=lambda one: one.id)))
        now = self.floor.now
        if what == "renew":
            self._try(lambda: self.pool.renew(now, lease.id, lease.token))
        elif what == "force":
            self.pool.force_release(now, lease.id, "admin", "test")
        elif what == "cancel":
            self.pool.cancel(now, lease.request_id, "user")
        elif what == "stale":
            before = lease.expires_at
            try:
                self.pool.renew(now, lease.id, lease.token - 1)
                raise AssertionError("an old token was taken")
            except UpdraftError:
                assert lease.expires_at == before
        else:
            self.pool.release(now, lease.id, lease.token, requeue=what == "requeue")

    @rule(team=st.sampled_from(["red", "blue"]), guaranteed=st.sampled_from([0, 2, 4]), limit=st.sampled_from([None, 4, 6]))
    def quota(self, team: str, guaranteed: float, limit: float | None) -> None:
        self.pool.set_quota(self.floor.now, Quota(team, guaranteed, limit), "admin")

    @rule(node=st.sampled_from("abc"), foreign=st.sampled_from([0, 0, 5_000, 80_000]), failed=st.booleans(), data=st.data())
    def report(self, node: str, foreign: int, failed: bool, data: st.DataObject) -> None:
        from dataclasses import replace

        devices = self.floor.devices[node]
        index = data.draw(st.integers(0, len(devices) - 1))
        changed = replace(devices[index], processes=(process(foreign),) if foreign else (), failed="Xid 79" if failed and foreign else "")
        self.floor.devices[node] = [changed if position == index else device for position, device in enumerate(devices)]
        self.floor.report(node)

    @rule(node=st.sampled_from("abc"), out=st.booleans())
    def cordon(self, node: str, out: bool) -> None:
        if out:
            self.pool.cordon(self.floor.now, node, "test", "admin")
        else:
            self.pool.uncordon(self.floor.now, node, "admin")

    @rule(seconds=st.sampled_from([-2.0, 0.0, 1.0, 20.0, 55.0, 130.0]), reports=st.booleans())
    def tick(self, seconds: float, reports: bool) -> None:
        self.floor.now += seconds
        if reports:
            for node in "abc":
                self.floor.report(node)
        before = set(self.pool.leases)
        self.pool.tick(self.floor.now)
        for team in {self.pool.requests[lease.request_id].ask.team for lease in self.pool.leases.values() if lease.id not in before}:
            quota = self.pool.quotas.get(team)
            assert quota is None or quota.limit is None or self.pool.team_use()[team] <= quota.limit, "a grant passed its team's limit"
        for lease in self.pool.leases.values():
            assert lease.expires_at > self.floor.now, "a lease outlived its time"
            assert lease.notice is None or lease.notice.deadline > self.floor.now, "a lease outlived its notice"
        self.floor.pool.take_changes()

    def _try(self, act: Any) -> None:
        with suppress(UpdraftError):
            act()

    @invariant()
    def nothing_is_given_twice(self) -> None:
        held: dict[tuple[str, str], list[int]] = {}
        for lease in self.pool.leases.values():
            nodes = [grant.node for grant in lease.grants]
            assert len(set(nodes)) == len(nodes), "a gang's nodes are distinct"
            for grant in lease.grants:
                for uuid in grant.uuids:
                    held.setdefault((grant.node, uuid), []).append(grant.milli)
        memory = {(name, device.uuid): device.memory_mib for name, node in self.pool.nodes.items() for device in node.devices}
        for lease in self.pool.leases.values():
            for grant in lease.grants:
                for uuid in grant.uuids:
                    memory[grant.node, uuid] -= grant.memory_mib
        assert min(memory.values()) >= 0, "more memory is given out than there is"
        for spot, shares in held.items():
            assert sum(shares) <= 1000, f"{spot} is given out beyond what it has: {shares}"
            assert 1000 not in shares or len(shares) == 1

    @invariant()
    def a_share_is_only_where_sharing_is_declared(self) -> None:
        for lease in self.pool.leases.values():
            for grant in lease.grants:
                if grant.milli < 1000:
                    assert all(d.sharing for d in self.floor.devices[grant.node] if d.uuid in grant.uuids)

    @invariant()
    def live_things_agree(self) -> None:
        for lease in self.pool.leases.values():
            assert self.pool.requests[lease.request_id].lease_id == lease.id
            assert lease.state is not LeaseState.ENDED
        for request in self.pool.requests.values():
            assert (request.state is RequestState.GRANTED) == bool(request.lease_id)
        tokens = [lease.token for lease in self.pool.leases.values()]
        assert len(set(tokens)) == len(tokens)
        assert all(token < self.pool.next_token for token in tokens)

    @invariant()
    def what_is_kept_is_enough_to_go_on(self) -> None:
        from include.pool.pool import Pool

        again = Pool(CONFIG)
        again.restore(self.pool.nodes.values(), self.pool.requests.values(), self.pool.leases.values(), self.pool.quotas.values())
        for name, node in self.pool.nodes.items():
            for device in node.devices:
                assert again.free_milli(name, device.uuid) == self.pool.free_milli(name, device.uuid)
        assert again.team_use() == self.pool.team_use()


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase
