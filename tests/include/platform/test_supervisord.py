"""supervisord's own start, and what is left when it was killed."""

import os
import signal
import stat
from dataclasses import replace

import pytest

from include.errors import InputError
from include.platform import supervisord
from include.runtime import family
from include.runtime.supervisor import State, Supervisor
from tests.include.platform.test_supervisor import FAMILY, SLEEP, children_of, program
from tests.waiting import ended, until

pytestmark = pytest.mark.integration


def test_a_home_whose_socket_path_is_too_long_is_refused_with_the_remedy(fresh):
    deep = replace(fresh, home=fresh.home / ("deep" * 25))
    with pytest.raises(InputError) as refused:
        supervisord.start(deep)
    assert "UPDRAFT_HOME" in refused.value.remedy
    assert not deep.home.exists()


def test_its_folder_and_configuration_are_the_owners_alone(settings, supervisor):
    folder = settings.supervisor_socket.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "supervisord.conf").stat().st_mode) == 0o600


def test_orphans_of_a_killed_supervisord_are_ended_with_their_children(fresh):
    supervisord.start(fresh)
    supervisor = Supervisor(fresh)
    supervisor.start_program(program(fresh, FAMILY))
    orphans = [supervisor.info("probe")[1], *children_of(fresh)]
    own = supervisor.process_id()
    os.kill(own, signal.SIGKILL)
    until(lambda: ended(own))
    assert not any(ended(orphan) for orphan in orphans)
    assert supervisord.end_orphans(fresh) == 3
    assert all(ended(orphan) for orphan in orphans)
    assert family.family(str(fresh.home)) == []


def test_a_process_that_renames_itself_is_still_known(settings, supervisor):
    """Airflow's workers do; setproctitle writes over the environment by which a process is known, unless told not to."""
    renamed = "import setproctitle, time; setproctitle.setproctitle('airflow worker ' + 'x' * 500); open('named', 'w'); time.sleep(600)"
    from include.platform.airflow import environment

    told = {"SPT_NOENV": environment(settings)["SPT_NOENV"]}
    supervisor.start_program(program(settings, renamed, environment=told))
    until((settings.home / "named").exists)
    assert family.family(str(settings.home), "probe") == [supervisor.info("probe")[1]]


def test_another_platforms_processes_are_none_of_its_own(settings, supervisor):
    supervisor.start_program(program(settings, SLEEP))
    assert family.family(f"{settings.home}-other") == []
    assert family.family(str(settings.home), "other") == []


def test_it_starts_again_after_being_killed(fresh):
    supervisord.start(fresh)
    supervisor = Supervisor(fresh)
    supervisor.start_program(program(fresh, SLEEP))
    own = supervisor.process_id()
    os.kill(own, signal.SIGKILL)
    until(lambda: ended(own))
    supervisord.end_orphans(fresh)
    supervisord.start(fresh)
    until(lambda: supervisor.state("probe") is State.RUNNING)
