"""A random life of the pool: work comes, runs and ends; nodes and holders die, the pool's servers are away, clocks jump. What must hold is
looked at after every step."""

from __future__ import annotations

import random
from collections import Counter

from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Config, Lease, LeaseState, NodeReport, Quota, RequestState
from tests.include.pool.floor import gpus

STEP_S = 4.0
"""Between two heartbeats of everybody."""
SURE = "sure"
"""A team that asks for one GPU at a time, within what it is guaranteed or beyond."""


class History:
    """``requests`` of them by the ``seed``. Holders work for a while of their own, whatever they say; stopped, they begin anew."""

    def __init__(self, seed: int, requests: int) -> None:
        self.dice = random.Random(seed)
        self.pool = Pool(Config(ageing_s=120.0, default_duration_s=300.0, longest_grace_s=60.0))
        self.listens, self.saves = seed % 2 == 0, seed % 3 == 0
        self.devices = {"a": gpus("a", 4), "b": gpus("b", 4), "c": gpus("c", 2, sharing="mps"), "d": gpus("d", 3, model="A100-80GB")}
        self.dead: dict[str, float] = {}
        """Node → until when it is silent."""
        self.t, self.offset, self.sequence = 0.0, 0.0, 0
        self.left, self.submitted = requests, 0
        self.work: dict[str, float] = {}
        self.ends_at: dict[str, float] = {}
        self.silent: set[str] = set()
        self.asked_at: dict[str, float] = {}
        self.disturbed_at, self.late_s = -1e9, 0.0
        self.told: dict[str, Lease] = {}
        self.outages: list[float] = []
        self.ended: Counter[str] = Counter()
        self.report()
        self.pool.set_quota(self.now, Quota(SURE, 3), "admin")
        self.pool.set_quota(self.now, Quota("red", 2, 8), "admin")

    @property
    def now(self) -> float:
        return self.t + self.offset

    def run(self) -> None:
        """Until all work is done."""
        while self.left or self.pool.requests:
            self.step()
            assert self.t < 40_000, "work waits for ever"

    def step(self) -> None:
        self.t += STEP_S
        self.disturb()
        self.report()
        while self.left and self.dice.random() < 0.2:
            self.submit()
        self.heartbeats()
        if self.listens:
            self.pool.listening(self.now)
        self.pool.tick(self.now)
        self.look()

    def disturb(self) -> None:
        what = self.dice.random()
        if what < 0.002:
            self.dead[self.dice.choice("abcd")] = self.t + self.dice.choice((20, 100, 400))
        elif what < 0.004 or (self.submitted > 100 and not self.outages):
            length = self.dice.choice((1, 10, 31, 45, 61, 90, 125, 600, 3600))
            self.outages.append(length)
            self.t += length  # work goes on; nobody is heard
        elif what < 0.005:
            self.offset += self.dice.choice((-1800, -30, 30, 1800))
        elif what < 0.006 and self.pool.leases:
            self.silent.add(self.dice.choice(sorted(self.pool.leases)))
        else:
            return
        self.disturbed_at = self.t

    def report(self) -> None:
        for name, devices in self.devices.items():
            if self.dead.get(name, 0.0) <= self.t:
                self.sequence += 1
                self.pool.report(self.now, name, "declared", self.sequence, self.now, [NodeReport(name, {}, tuple(devices))])
            else:
                self.disturbed_at = self.t

    def submit(self) -> None:
        dice, team = self.dice, self.dice.choice((SURE, "red", "blue", "green"))
        sizes = [{"gpus": 1}, {"gpus": 1}, {"gpus": 2}, {"gpus": 4}, {"gpus": 2, "nodes": 2}, {"fraction": 0.4}, {"memory_mib": 30_000}]
        models = dice.choice(((), (), ("H100-80GB",), ("A100-80GB",)))
        size = {"gpus": 1} if team == SURE else dice.choice(sizes)
        if models == ("A100-80GB",) and size != {"gpus": 2}:
            size = {"gpus": 1}
        lasts = dice.choice((20, 40, 100, 300))
        said = dice.choice((None, float(lasts), float(lasts), lasts / 3))
        ask = Ask(
            **size,  # type: ignore[arg-type]
            models=() if team == SURE else models,
            priority=dice.randint(1, 10),
            team=team,
            preemptible=dice.random() < 0.8,
            duration_s=said,
            grace_s=dice.choice((None, 5.0, 50.0, 3000.0)),
        )
        request = self.pool.submit(self.now, f"k{self.submitted}", "user", ask)
        self.work[request.id], self.asked_at[request.id] = lasts, self.t
        self.submitted += 1
        self.left -= 1

    def heartbeats(self) -> None:
        for request in list(self.pool.requests.values()):
            if request.state is RequestState.WAITING:
                self.pool.touch(self.now, request.id)
        for lease in list(self.pool.leases.values()):
            if lease.id in self.silent or any(self.dead.get(grant.node, 0.0) > self.t for grant in lease.grants):
                continue
            saved = self.dice.choice((0.0, 2.0, 1e6)) if self.saves and self.dice.random() < 0.1 else None
            self.pool.renew(self.now, lease.id, lease.token, saved)
            assert lease.saved_at is None or lease.saved_at >= lease.granted_at
            if self.t >= self.ends_at[lease.id]:
                self.pool.release(self.now, lease.id, lease.token)
            elif lease.notice is not None and self.dice.random() < 0.3:
                self.pool.release(self.now, lease.id, lease.token, requeue=True)

    # What must hold

    def look(self) -> None:
        changes = self.pool.take_changes()
        for lease in changes.leases.values():
            if lease.state is LeaseState.ENDED:
                self.has_ended(lease)
            elif lease.id not in self.ends_at:
                self.has_begun(lease)
            if lease.notice is not None and lease.id not in self.told:
                self.told[lease.id] = lease
                self.is_told(lease)
        self.is_not_given_twice()
        self.guarantees_hold()

    def has_begun(self, lease: Lease) -> None:
        request = self.pool.requests.get(lease.request_id)
        if request is not None:
            self.ends_at[lease.id] = self.t + self.work[request.id]

    def has_ended(self, lease: Lease) -> None:
        """By its holder, or because it or its node really was silent, or for somebody: never for nobody, and by no outage."""
        self.ended[lease.end] += 1
        if lease.end == "expired":
            assert lease.id in self.silent or any(grant.node in self.dead for grant in lease.grants), "an outage ended it"
        elif lease.end == "lost":
            assert any(grant.node in self.dead for grant in lease.grants), "an outage lost it"
        elif lease.end != "released":
            assert lease.notice is not None and lease.notice.request_id in self.asked_at, "it ended for nobody"
        if lease.end != "released":
            self.asked_at[lease.request_id] = self.t

    def is_told(self, lease: Lease) -> None:
        """For somebody who waits."""
        assert lease.notice is not None
        head = self.pool.requests.get(lease.notice.request_id)
        assert head is not None and head.state is RequestState.WAITING, "it is told to stop for nobody"

    def is_not_given_twice(self) -> None:
        held: Counter[tuple[str, str]] = Counter()
        for lease in self.pool.leases.values():
            for grant in lease.grants:
                for uuid in grant.uuids:
                    held[grant.node, uuid] += grant.milli
        assert max(held.values(), default=0) <= 1000

    def guarantees_hold(self) -> None:
        """With every node there for long enough, what a team is guaranteed starts within a grace and a minute."""
        quiet = self.t - self.disturbed_at
        use = self.pool.team_use().get(SURE, 0.0)
        waiting = sorted(
            self.asked_at[one.id] for one in self.pool.requests.values() if one.ask.team == SURE and one.state is RequestState.WAITING
        )
        within = waiting[: max(0, round(3 - use))]
        if within and quiet > 1200:
            self.late_s += STEP_S
            assert self.late_s <= 60 + 60 + STEP_S, "a guarantee was not there when it was asked for"
        else:
            self.late_s = 0.0

    def nothing_is_left(self) -> None:
        assert not self.pool.leases and not self.pool.team_use()
        for name, devices in self.devices.items():
            assert all(self.pool.free_milli(name, device.uuid) == 1000 for device in devices if not self.pool.nodes[name].lost)
