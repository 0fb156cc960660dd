"""How large a platform is: chosen once, kept, and never changed under what it holds."""

import re

import pytest

from include.errors import InputError
from include.platform import postgres, scale
from include.platform.programs import celery_workers, data_programs, platform_programs
from include.platform.scale import Scale
from include.runtime.credentials import Credentials


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """A machine that has PostgreSQL and Redis, as far as finding them goes."""
    for name in ("postgres", "initdb"):
        (tmp_path / "pg" / "15" / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pg" / "15" / "bin" / name).touch()
    (tmp_path / "redis-server").touch(mode=0o755)
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path / "pg")
    monkeypatch.setattr(postgres, "check_reach", lambda folder: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def home(fresh, monkeypatch):
    monkeypatch.delenv(scale.VARIABLE, raising=False)
    return fresh


def wish(monkeypatch, word):
    monkeypatch.setenv(scale.VARIABLE, word)


def test_without_a_word_it_is_embedded_and_nothing_is_kept(home):
    assert scale.choose(home) is Scale.EMBEDDED
    assert not list(home.home.iterdir())


def test_what_was_chosen_is_kept_for_later_commands(home, servers, monkeypatch):
    wish(monkeypatch, "scaled")
    assert scale.choose(home) is Scale.SCALED
    monkeypatch.delenv(scale.VARIABLE)
    assert scale.choose(home) is Scale.SCALED
    assert scale.chosen(home) is Scale.SCALED


def test_an_unknown_word_is_refused(home, monkeypatch):
    wish(monkeypatch, "huge")
    with pytest.raises(InputError, match=r"UPDRAFT_SCALE='huge'.*embedded, scaled"):
        scale.choose(home)


@pytest.mark.parametrize(
    ("state", "was", "word"), [("airflow/airflow.db", None, "scaled"), ("postgres/data/PG_VERSION", "scaled", "embedded")]
)
def test_a_platform_that_holds_runs_keeps_its_scale(home, servers, monkeypatch, state, was, word):
    (home.home / state).parent.mkdir(parents=True)
    (home.home / state).write_text("15")
    if was:
        (home.home / "scale").write_text(f"{was}\n")
    before = scale.chosen(home)
    wish(monkeypatch, word)
    with pytest.raises(InputError, match=rf"{before}.*UPDRAFT_HOME.*make clean"):
        scale.choose(home)
    assert scale.chosen(home) is before


def test_one_that_holds_none_yet_may_change_its_mind(home, servers, monkeypatch):
    for word in ("scaled", "embedded"):
        wish(monkeypatch, word)
        assert scale.choose(home) is Scale(word)


def test_a_missing_postgresql_is_named_with_the_remedy_and_nothing_is_kept(home, servers, monkeypatch):
    monkeypatch.setattr(postgres, "DEBIAN", servers / "nothing")
    wish(monkeypatch, "scaled")
    with pytest.raises(InputError, match=r"no PostgreSQL.*make install-scaled.*apt-get install postgresql"):
        scale.choose(home)
    assert not list(home.home.iterdir())


def test_among_containers_they_have_ports(home, servers, monkeypatch):
    wish(monkeypatch, "scaled")
    scale.choose(home)
    monkeypatch.setenv("UPDRAFT_BIND", "0.0.0.0")
    credentials = Credentials.load_or_create(home.home)
    assert f"@127.0.0.1:{home.postgres_port}/airflow" in scale.databases(home, credentials).airflow
    assert f"@127.0.0.1:{home.redis_port}/0" in scale.broker(home, credentials)
    assert f"port {home.redis_port}" in scale.redis_configuration(home, credentials, home.home)


def test_a_missing_redis_is_named_with_the_remedy_and_nothing_is_kept(home, servers, monkeypatch):
    (servers / "redis-server").unlink()
    wish(monkeypatch, "scaled")
    with pytest.raises(InputError, match=r"no Redis.*make install-scaled.*redis-server"):
        scale.choose(home)
    assert not list(home.home.iterdir())


def test_a_damaged_file_is_named(home):
    (home.home / "scale").write_text("large")
    with pytest.raises(InputError, match=r"scale: says neither embedded nor scaled"):
        scale.chosen(home)


def test_no_command_line_of_a_scaled_platform_shows_a_secret(home, servers, monkeypatch):
    wish(monkeypatch, "scaled")
    scale.choose(home)
    credentials = Credentials.load_or_create(home.home)
    (home.home / "airflow").mkdir()
    (home.home / "airflow" / "airflow.cfg").touch()
    programs = [*data_programs(home, credentials), *platform_programs(home, credentials), *celery_workers(home)]
    assert [program.name for program in programs if program.name.startswith("celery")] == ["celery-worker-1", "celery-worker-2"]
    assert len({program.name for program in programs}) == len({program.log for program in programs}) == len(programs)
    shown = " ".join(part for program in programs for part in program.command)
    assert "postgres" in shown and "redis-server" in shown
    secrets = [*credentials.database_passwords.values(), credentials.redis_password, credentials.mlflow_password]
    assert not [secret for secret in secrets if secret in shown]


def test_databases_and_broker_are_sockets_of_the_platforms_own_with_a_password_each(home, servers, monkeypatch):
    wish(monkeypatch, "scaled")
    scale.choose(home)
    credentials = Credentials.load_or_create(home.home)
    found = scale.databases(home, credentials)
    urls = [found.airflow, found.mlflow, found.mlflow_auth, scale.broker(home, credentials)]
    own = re.escape(str(home.home))
    socket = rf"(/\w+\?host={own}/postgres/run&port=\d+|{own}/redis/redis\.sock)"
    passwords = [re.fullmatch(rf"[a-z0-9+]+://\w*:(\w{{48}})@{socket}", url)[1] for url in urls]
    assert len(set(passwords)) == 3  # MLflow's two are one role's


def test_what_stops_last_starts_first(home, servers, monkeypatch):
    wish(monkeypatch, "scaled")
    scale.choose(home)
    credentials = Credentials.load_or_create(home.home)
    (home.home / "airflow").mkdir()
    (home.home / "airflow" / "airflow.cfg").touch()
    servers_of = [program.priority for program in data_programs(home, credentials)]
    others = [program.priority for program in (*platform_programs(home, credentials), *celery_workers(home))]
    assert max(servers_of) < min(others)
