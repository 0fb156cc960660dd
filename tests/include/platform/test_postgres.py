"""A real PostgreSQL (the wheel's) as the platform makes and asks it."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import pytest

from bench.leases.postgres import binaries, free_port, serving
from include.errors import InputError
from include.platform import postgres

PASSWORDS = {"postgres": "root-secret", "airflow": "its-secret", "mlflow": "their-secret"}
OWNERS = {"airflow": "airflow", "mlflow": "mlflow", "mlflow_auth": "mlflow"}

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder():
    folder = Path(tempfile.mkdtemp(prefix="ud-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def port(folder):
    (folder / "new").mkdir()
    (folder / "new" / "half").write_text("of an initdb that was killed")
    found, port = binaries(folder), free_port()
    postgres.initialise(found, folder / "data", "postgres", PASSWORDS["postgres"])
    with serving(found, folder, port, durable=False):
        postgres.provide("127.0.0.1", port, "postgres", PASSWORDS, OWNERS)
        yield port


def connect(port, role, database, password=None):
    return psycopg2.connect(host="127.0.0.1", port=port, user=role, dbname=database, password=password or PASSWORDS[role])


def test_each_role_owns_its_databases(port):
    for database, role in OWNERS.items():
        connection = connect(port, role, database)
        with connection, connection.cursor() as cursor:
            cursor.execute("create table things (id int)")
        connection.close()


def test_no_role_but_the_first_is_superuser(port):
    connection = connect(port, "postgres", "postgres")
    with connection.cursor() as cursor:
        cursor.execute("select rolname from pg_roles where rolsuper or rolcreaterole or rolcreatedb")
        assert cursor.fetchall() == [("postgres",)]
    connection.close()


def test_a_wrong_password_is_refused(port):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(port, "airflow", "airflow", "guessed")


def test_a_role_may_not_look_into_another_s_database(port):
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        connect(port, "mlflow", "airflow")


def test_it_may_be_repeated(port, folder):
    made = (folder / "data" / "PG_VERSION").stat().st_mtime_ns
    postgres.initialise(Path("/nowhere"), folder / "data", "postgres", "another")
    postgres.provide("127.0.0.1", port, "postgres", PASSWORDS, OWNERS)
    assert (folder / "data" / "PG_VERSION").stat().st_mtime_ns == made


def test_neither_log_nor_folder_knows_a_password(port, folder):
    log = (folder / "log").read_text()
    assert "ready to accept connections" in log
    assert not [password for password in PASSWORDS.values() if password in log]
    assert not (folder / "password").exists()


def test_a_database_of_another_version_asks_for_that_version(tmp_path):
    (tmp_path / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(InputError, match=r"PostgreSQL 9\.1.*apt-get install postgresql-9\.1"):
        postgres.binaries(tmp_path)


def test_the_newest_version_is_taken(tmp_path, monkeypatch):
    for version in ("9.6", "13", "15"):
        for name in ("initdb", "postgres"):
            (tmp_path / version / "bin").mkdir(parents=True, exist_ok=True)
            (tmp_path / version / "bin" / name).touch()
    (tmp_path / "17" / "bin").mkdir(parents=True)  # its client alone
    (tmp_path / "17" / "bin" / "psql").touch()
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    assert postgres.binaries(tmp_path / "data") == tmp_path / "15" / "bin"


@pytest.mark.skipif(postgres.owner() is None, reason="PostgreSQL runs as this user, who is not root")
def test_root_s_own_folder_is_refused_with_the_remedy(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InputError, match=r"may not pass.*chmod o\+x"):
        postgres.check_reach(closed)


def test_a_server_runs_as_its_owner(folder, port):
    who = postgres.owner()
    if who is None:
        pytest.skip("PostgreSQL runs as this user, who is not root")
    shown = subprocess.run(list(postgres.as_program(("/usr/bin/id", "-u"))), capture_output=True, text=True, check=True)
    assert int(shown.stdout) == who[0]
    assert (folder / "data").stat().st_uid == who[0]
