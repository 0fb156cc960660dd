"""When the scheduler looks: as soon as there is something to do, and seldom when there is nothing."""

import inspect

import pytest
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from sqlalchemy import create_engine, text

from lifecycle.components.awake import BLIND_S, BUSY_S, POLL_S, REST_S, SHARE, WORK, Awake, AwakeScheduler
from lifecycle.components.writes import Writes


class Site:
    """A database that is written to at given times, and a clock that moves with each sleep."""

    def __init__(self, writes=(), working=False, known=True):
        self.now, self._writes, self.working, self.known = 0.0, sorted(writes), working, known
        self.awake = Awake(self, lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds

    def changed(self):
        due = [at for at in self._writes if at <= self.now]
        self._writes = self._writes[len(due) :]
        return bool(due) or not self.known

    def ask(self, question):
        assert question == WORK
        return self.working

    def waited(self):
        begun = self.now
        self.awake.wait()
        return self.now - begun


def test_a_run_that_is_triggered_is_seen_at_the_next_poll():
    site = Site([0.62], working=True)
    site.awake._working = False  # as an idle platform's is
    assert site.waited() == pytest.approx(0.65)


def test_a_task_that_ends_is_followed_by_the_next_at_the_next_poll():
    site = Site([0.01, 0.2], working=True)
    assert [site.waited(), site.waited()] == [pytest.approx(POLL_S), pytest.approx(3 * POLL_S)]


def test_what_was_written_during_the_look_itself_is_looked_at_again():
    site = Site([0.3], working=True)
    site.now = 0.31  # the look took so long
    assert site.waited() <= BLIND_S


def test_heartbeats_of_an_idle_platform_wake_nobody():
    site = Site([0.1 * beat for beat in range(100)])
    assert [site.waited() for _ in range(3)] == [pytest.approx(REST_S, abs=POLL_S + 0.01)] * 3


def test_while_a_run_waits_for_the_clock_it_is_looked_twice_a_second():
    site = Site(working=True)
    assert site.waited() == pytest.approx(BUSY_S, abs=POLL_S + 0.01)


def test_a_scheduler_that_is_woken_all_the_time_leaves_the_processor_to_the_tasks():
    site = Site([0.01 * write for write in range(1000)], working=True)
    for look_s in (0.03, 0.05):
        site.now += look_s
        assert site.waited() == pytest.approx(SHARE * look_s)
    site.now += 2.0
    assert site.waited() == pytest.approx(BLIND_S)


def test_a_database_that_cannot_say_what_was_written_is_looked_at_as_often_as_before():
    site = Site(known=False)
    assert [site.waited() for _ in range(3)] == [pytest.approx(BLIND_S)] * 3


def test_airflow_s_loop_sleeps_as_this_expects():
    loop = inspect.getsource(SchedulerJobRunner._run_scheduler_loop)
    assert loop.count("time.sleep(") == 1 and "time.sleep(min(self._scheduler_idle_sleep_time, next_event or 0))" in loop
    assert isinstance(inspect.getattr_static(AwakeScheduler, "_scheduler_idle_sleep_time"), property)


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
        for table in ("dag_run (state text)", "asset_dag_run_queue (asset_id int)"):
            connection.execute(text(f"CREATE TABLE {table}"))
    yield engine
    engine.dispose()


def write(engine, statement):
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_write_of_others_is_seen_once_and_nothing_else(engine):
    writes = Writes(engine)
    assert writes.known and [writes.changed(), writes.changed()] == [True, False]
    write(engine, "INSERT INTO dag_run VALUES ('success')")
    assert [writes.changed(), writes.changed()] == [True, False]


@pytest.mark.parametrize(
    ("row", "work"),
    [
        ("dag_run VALUES ('success')", False),
        ("dag_run VALUES ('queued')", True),
        ("dag_run VALUES ('running')", True),
        ("asset_dag_run_queue VALUES (1)", True),
    ],
)
def test_runs_and_assets_that_wait_are_work(engine, row, work):
    writes = Writes(engine)
    write(engine, f"INSERT INTO {row}")
    assert writes.ask(WORK) is work


def test_a_database_that_is_away_is_looked_at_by_those_who_say_so(engine, tmp_path):
    writes = Writes(create_engine(f"sqlite:///{tmp_path}/none/a.db"))
    assert [writes.changed(), writes.ask(WORK), writes.changed()] == [True, True, True]
