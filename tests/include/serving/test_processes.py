"""When supervisord is asked what its programs do: when one of them has ended, or is not known to run."""

import subprocess

from include.runtime.supervisor import State
from include.serving.processes import Processes
from tests.waiting import until


def test_supervisord_is_asked_once_until_a_process_ends():
    asked: list[int] = []
    running = {name: subprocess.Popen(["sleep", "60"]) for name in ("one", "two")}

    def ask():
        asked.append(1)
        return {name: (State.RUNNING, process.pid) for name, process in running.items()}

    processes = Processes(ask)
    try:
        first = [processes.of({"one", "two"}) for _ in range(5)]
        assert len(asked) == 1 and first[0] == first[-1] == {name: (State.RUNNING, one.pid) for name, one in running.items()}
        running["two"].kill()
        running["two"].wait()
        running["two"] = subprocess.Popen(["sleep", "60"])
        until(lambda: processes.of({"one", "two"})["two"] == (State.RUNNING, running["two"].pid), 5)
        assert len(asked) == 2
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_what_does_not_run_is_asked_for_each_time():
    answers = [{"one": (State.STARTING, 0)}, {}, {"one": (State.BACKOFF, 0)}]
    processes = Processes(lambda: answers.pop(0))
    found = [processes.of({"one"})["one"] for _ in range(3)]
    assert found == [(State.STARTING, 0), (State.ABSENT, 0), (State.BACKOFF, 0)]
