"""What teams have used lately: GPU-seconds that count for less the longer ago they were, by half after ``fair_half_life_hours``.

An account is kept as of the last moment at which what its team holds changed; from then on what it holds now is added, exactly: for a
constant use u over t the account a becomes a x d + u x tau x (1 - d), with tau = half-life / ln 2 and d = exp(-t / tau).

Among teams that wait for the same fleet, each is due a share by its weight of all that they have used. The waiting of one that has used
more counts from later, by the time for which the whole fleet would have to work for it: at most ``fair_delay_s``, so that the bound on
waiting stands (``order``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

HOUR = 3600.0
LONGEST_UNHEARD_S = HOUR
"""Who holds a lease goes on for so long while the pool doesn't answer: of a longer absence no more is counted."""
FORGOTTEN_GPU_S = 1.0
"""An account that has come down to this, of a team that holds nothing, is closed."""
MANY = 50
"""From so many accounts on those that may be closed are looked for."""


@dataclass(frozen=True)
class Account:
    """What a team had used up to ``at``, in GPU-seconds as they counted then."""

    team: str
    gpu_s: float
    at: float


class Accounts:
    """Of all teams. ``held`` says how many thousandths of GPUs a team holds now; ``half_life_s`` 0: nothing is kept."""

    def __init__(self, half_life_s: float, held: Callable[[str], int]) -> None:
        self.tau_s, self._held = half_life_s / math.log(2), held
        self.of: dict[str, Account] = {}

    def gpu_s(self, team: str, now: float) -> float:
        """What counts of the team's use so far, in GPU-seconds."""
        account = self.of.get(team)
        if account is None or not self.tau_s:
            return 0.0
        kept = math.exp(-max(0.0, now - account.at) / self.tau_s)
        return account.gpu_s * kept + self._held(team) / 1000 * self.tau_s * (1 - kept)

    def settle(self, team: str, now: float) -> Account | None:
        """Bring the account up to now, before what the team holds changes; None if none is kept. A clock that was set back a little adds
        nothing until it has caught up."""
        if not self.tau_s:
            return None
        known = self.of.get(team)
        self.of[team] = Account(team, self.gpu_s(team, now), now if known is None else max(now, known.at))
        return self.of[team]

    def absent(self, heard: float, now: float) -> list[Account]:
        """Nobody was heard since then: the pool was away, or its clock was set forward. What teams hold is counted for as long as holders
        go on unheard. The accounts as they are then."""
        for team, account in self.of.items():
            since = max(account.at, min(heard, now))
            uncounted_s = max(0.0, now - since - LONGEST_UNHEARD_S)
            before = self.gpu_s(team, now - uncounted_s)
            self.of[team] = Account(team, before * math.exp(-uncounted_s / self.tau_s), max(now, account.at))
        return list(self.of.values())

    def set_back(self, now: float, seconds: float) -> list[Account]:
        """The clock was, by so much: accounts go on from now as they were. The accounts as they are then."""
        for team in self.of:
            self.of[team] = Account(team, self.gpu_s(team, now + seconds), now)
        return list(self.of.values())

    def close(self, now: float) -> list[str]:
        """Teams whose accounts are not worth keeping any more; they are closed."""
        if len(self.of) < MANY:
            return []
        closed = [team for team in self.of if not self._held(team) and self.gpu_s(team, now) < FORGOTTEN_GPU_S]
        for team in closed:
            del self.of[team]
        return closed


def delays(used: Mapping[str, float], weights: Mapping[str, float], gpus: float, longest_s: float) -> dict[str, float]:
    """How much later the waiting of each team counts, in seconds. ``used``: GPU-seconds of each that waits; ``gpus`` serve them all."""
    everything, all_weights = sum(used.values()), sum(weights[team] for team in used)
    beyond = {team: gpu_s - everything * weights[team] / all_weights for team, gpu_s in used.items()}
    return {team: min(longest_s, max(0.0, gpu_s) / max(gpus, 1.0)) for team, gpu_s in beyond.items()}
