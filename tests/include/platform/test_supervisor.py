"""The client of supervisord, against a real one."""

import os
import signal
import sys
import threading
import xmlrpc.client
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import ComponentError
from include.platform import supervisord
from include.runtime.supervisor import Program, State, Supervisor
from tests.waiting import ended, until

pytestmark = pytest.mark.integration

ODD = {
    "PERCENT": "100% of %(here)s and %%",
    "QUOTES": "it's \"quoted\" and 'single'",
    "COMMA": "a,b=c;d",
    "BACKSLASH": "C:\\new\\table",
    "SPACES": "  two  spaces  ",
    "UNICODE": "größer → 模型",
    "EMPTY": "",
    "LINES": "one\ntwo\n",
    "ENDS": "\"quoted'",
    "HASH": "a #b ;c",
}


def program(settings, code: str, name: str = "probe", **changes) -> Program:
    """A program that runs Python code."""
    file = settings.home / f"{name}.py"
    file.write_text(code)
    options = {"directory": settings.home, "log": settings.home / f"{name}.log", "start_s": 1, "stop_wait_s": 1} | changes
    return Program(name=name, command=(sys.executable, str(file)), **options)


SLEEP = "import time; time.sleep(600)"


def test_the_same_program_again_is_left_alone(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP))
    first = supervisor.info("probe")[1]
    supervisor.start_program(program(settings, SLEEP))
    assert supervisor.info("probe")[1] == first


def test_a_changed_program_takes_the_place_of_the_old_one(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP))
    first = supervisor.info("probe")[1]
    supervisor.start_program(program(settings, SLEEP, environment={"NEW": "1"}))
    state, second, _ = supervisor.info("probe")
    assert state.alive and second != first and ended(first)
    assert supervisor.programs().keys() == {"probe"}


def test_odd_values_and_arguments_arrive_as_they_are(settings, supervisor):
    code = "import json, os, sys; json.dump([dict(os.environ), sys.argv[1:]], open('seen.json', 'w'))"
    wanted = ["100%", "%(here)s", "a b", "", 'say "hi"', "back\\slash", "semi ; colon"]
    plain = program(settings, code, environment=ODD, autorestart=False, start_s=0)
    supervisor.start_program(replace(plain, command=(*plain.command, *wanted)))
    seen = settings.home / "seen.json"
    until(lambda: seen.exists() and seen.read_text().endswith("]]"))
    import json

    environment, arguments = json.loads(seen.read_text())
    assert {name: environment[name] for name in ODD} == ODD
    assert arguments == wanted


def test_a_home_with_odd_characters_is_fine(fresh):
    odd = replace(fresh, home=fresh.home / "it's 100% odd")
    supervisord.start(odd)
    supervisor = Supervisor(odd)
    try:
        supervisor.start_program(program(odd, "open('ran', 'w').close(); import time; time.sleep(600)"))
        until((odd.home / "ran").exists)
    finally:
        supervisor.shutdown()


def test_what_a_program_is_given_is_readable_by_its_owner_alone(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP, environment={"TOKEN": "secret"}))
    assert "secret" in (settings.supervisor_programs / "probe.json").read_text()
    assert all(file.stat().st_mode & 0o077 == 0 for file in settings.supervisor_programs.iterdir())
    assert settings.supervisor_socket.stat().st_mode & 0o077 == 0


def test_a_killed_server_is_started_again(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP))
    until(lambda: supervisor.state("probe") is State.RUNNING)
    first = supervisor.info("probe")[1]
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.state("probe") is State.RUNNING and supervisor.info("probe")[1] != first)


def test_a_killed_step_stays_ended_and_its_status_is_told(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP, autorestart=False, start_s=0))
    process = supervisor.info("probe")[1]
    os.kill(process, signal.SIGKILL)
    until(lambda: supervisor.state("probe") is State.EXITED)
    assert not supervisor.state("probe").alive


FAMILY = """
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=own) for own in (False, True)]
open("children", "w").write(" ".join(str(child.pid) for child in children))
time.sleep(600)
"""


def children_of(settings) -> list[int]:
    file = settings.home / "children"
    until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(child) for child in file.read_text().split()]


def test_stop_ends_all_that_the_program_has_started_even_what_left_its_group(settings, supervisor):
    supervisor.start_program(program(settings, FAMILY))
    children = children_of(settings)
    supervisor.stop_program("probe")
    assert all(ended(child) for child in children)
    assert supervisor.state("probe") is State.ABSENT
    assert not (settings.supervisor_programs / "probe.conf").exists()


def test_what_a_killed_server_leaves_behind_is_ended_before_it_starts_again(settings, supervisor):
    supervisor.start_program(program(settings, FAMILY))
    children = children_of(settings)
    (settings.home / "children").unlink()
    os.kill(supervisor.info("probe")[1], signal.SIGKILL)
    until(lambda: all(ended(child) for child in children))
    assert not any(ended(child) for child in children_of(settings))


def test_a_program_that_supervisord_refuses_is_forgotten_and_harms_no_other(settings, supervisor):
    with pytest.raises(ComponentError, match="NONSENSE"):
        supervisor.start_program(program(settings, SLEEP, stop_signal="NONSENSE"))
    supervisor.start_program(program(settings, SLEEP, name="other"))
    assert supervisor.programs().keys() == {"other"}


def test_parts_of_a_second_are_rounded_up(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP, start_s=0.2, stop_wait_s=0.5))
    assert supervisor.state("probe").alive


def test_a_program_that_ignores_the_request_to_end_is_killed(settings, supervisor):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"
    supervisor.start_program(program(settings, stubborn, stop_wait_s=0.5))
    until((settings.home / "ready").exists)
    process = supervisor.info("probe")[1]
    supervisor.stop_program("probe")
    assert ended(process)


def test_what_another_has_begun_to_stop_is_waited_for(settings, supervisor):
    """A process that stops it was killed meanwhile, say, and is tried again."""
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"
    supervisor.start_program(program(settings, stubborn))
    until((settings.home / "ready").exists)
    process = supervisor.info("probe")[1]
    supervisor._call("stopProcess", "probe", False)
    assert supervisor.state("probe") is State.STOPPING
    supervisor.stop_program("probe")
    assert ended(process) and supervisor.state("probe") is State.ABSENT


class Restarting(Supervisor):
    """As it meets a program that fails again and again: supervisord starts it just before it is to be forgotten, here three times."""

    starts = 0

    def _call(self, method, *arguments, namespace="supervisor"):
        if method == "removeProcessGroup" and self.starts < 3:
            self.starts += 1
            with suppress(xmlrpc.client.Fault):  # ALREADY_STARTED: supervisord was as quick by itself
                super()._call("startProcess", *arguments, False)
        return super()._call(method, *arguments, namespace=namespace)


def test_a_program_that_is_started_again_while_it_is_stopped_is_stopped_all_the_same(settings, supervisor):
    supervisor.start_program(program(settings, "raise SystemExit(1)", start_s=0))
    Restarting(settings).stop_program("probe")
    assert supervisor.state("probe") is State.ABSENT


def test_stopping_what_is_not_there_is_fine(settings, supervisor):
    supervisor.stop_program("nobody")
    assert supervisor.state("nobody") is State.ABSENT


def test_two_starts_at_once_leave_one_process(settings, supervisor):
    code = "import os, time; open('starts', 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
    threads = [threading.Thread(target=supervisor.start_program, args=(program(settings, code),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: supervisor.state("probe") is State.RUNNING and (settings.home / "starts").exists())
    assert (settings.home / "starts").read_text().splitlines() == [str(supervisor.info("probe")[1])]


def test_a_start_that_was_cut_short_is_completed_by_the_next(settings, supervisor):
    """Killed after the file was written and before supervisord was told."""
    wanted = program(settings, SLEEP)
    settings.supervisor_programs.mkdir(parents=True, exist_ok=True)
    (settings.supervisor_programs / "probe.conf").write_text(wanted.render(settings.supervisor_programs / "probe.json"))
    supervisor.start_program(wanted)
    assert supervisor.state("probe").alive


def test_programs_come_back_with_supervisord(fresh):
    supervisord.start(fresh)
    supervisor = Supervisor(fresh)
    supervisor.start_program(program(fresh, SLEEP))
    supervisor.shutdown()
    supervisord.start(fresh)
    until(lambda: supervisor.state("probe") is State.RUNNING)


def test_without_supervisord_the_error_names_the_remedy(fresh):
    client = Supervisor(fresh)
    assert not client.running()
    assert client.process_id() is None
    with pytest.raises(ComponentError, match="make up"):
        client.start_program(program(fresh, SLEEP))


def test_shutdown_ends_supervisord_and_every_program(fresh):
    supervisord.start(fresh)
    supervisor = Supervisor(fresh)
    supervisor.start_program(program(fresh, SLEEP))
    process, own = supervisor.info("probe")[1], supervisor.process_id()
    supervisor.shutdown()
    assert ended(process) and ended(own)
    assert not Path(f"/proc/{own}").exists()
