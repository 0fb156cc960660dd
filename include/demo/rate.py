"""How many questions a second a demo's client asks: what this machine's champion can answer, and no more."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

AT_ONCE = 4
"""Questions under way while it is measured."""
MEASURED_S = 6.0
SHARE = 0.45
"""Of what was answered is offered: during a trial the two versions are asked as much again, for the comparison of their answers."""
LEAST_PER_S = 2.0


def measured(ask: Callable[[int], bool], seconds: float = MEASURED_S, clock: Callable[[], float] = time.monotonic) -> float:
    """Return how many questions a second are answered when :data:`AT_ONCE` are always under way. ``ask`` asks one by its number, waits for
    the answer, and says whether it was one."""
    numbers, lock, answered = itertools.count(), threading.Lock(), [0]
    begun = clock()

    def work() -> None:
        while clock() - begun < seconds:
            with lock:
                number = next(numbers)
            if ask(number):
                with lock:
                    answered[0] += 1

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered[0] / max(clock() - begun, 1e-9)


def offered(answers_per_s: float, most: float) -> float:
    """Return the rate to ask at (a second): :data:`SHARE` of what is answered, at most ``most``, in whole halves. Pure."""
    return min(max(int(2 * SHARE * answers_per_s) / 2, LEAST_PER_S), most)
