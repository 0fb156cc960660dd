"""The plugin's tables: from nothing and back, and the same as the classes that use them."""

import pytest

from tests.dags.conftest import Parsing

SETUP = """
import json
from airflow import settings
settings.initialize()
from sqlalchemy import inspect
from airflow.utils.session import create_session
from lifecycle.db.manager import LifecycleDBManager, FOLDER
from lifecycle.db.models import Base
from alembic import command
def tables():
    return sorted(name for name in inspect(settings.engine).get_table_names() if "updraft" in name)
OURS = sorted(Base.metadata.tables)
with create_session() as session:
    manager = LifecycleDBManager(session)
    config = manager.get_alembic_config()
"""


@pytest.fixture
def database(alone):
    """Runs code with a manager of the plugin's tables, on an empty database."""

    def ask(code: str):
        body = "\n".join(f"    {line}" for line in code.strip().splitlines())
        return alone.ask(SETUP + body)

    return ask


def test_upgrade_from_nothing_makes_every_table(database):
    made, ours, checked = database("""
command.upgrade(config, "head")
print(json.dumps([tables(), OURS, manager.check_migration()]))
""")
    assert set(made) == {*ours, "alembic_version_updraft_lifecycle"}
    assert checked is True


def test_downgrade_leaves_nothing_but_the_version_table(database):
    assert database("""
command.upgrade(config, "head")
command.downgrade(config, "base")
print(json.dumps(tables()))
""") == ["alembic_version_updraft_lifecycle"]


def test_there_and_back_and_there_again(database):
    made, ours = database("""
for target in ("head", "head"):
    command.upgrade(config, target)
command.downgrade(config, "base")
command.upgrade(config, "head")
print(json.dumps([tables(), OURS]))
""")
    assert set(ours) < set(made)


def test_the_migrations_make_what_the_classes_expect(database):
    """Autogenerate finds nothing to do: types, nullability and indexes included."""
    assert (
        database("""
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
command.upgrade(config, "head")
options = {"compare_type": True, "include_object": lambda o, name, kind, *_: kind != "table" or name in OURS}
with settings.engine.connect() as connection:
    differences = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
print(json.dumps([str(difference) for difference in differences]))
""")
        == []
    )


KEPT = """
command.upgrade(config, "0002")
from sqlalchemy import text
with settings.engine.begin() as connection:
    for number in (1, 0):
        row = {"n": number, "b": '{"seen": 0.1}', "at": f"2026-01-01 00:00:0{number}.5"}
        connection.execute(text("INSERT INTO updraft_look VALUES ('r', :n, :b, :at)"), row)
    row = {"b": '{"reasons": ["so"]}', "at": "2026-01-01 00:00:01.5"}
    connection.execute(text("INSERT INTO updraft_verdict VALUES ('r', 'canary', 'm', 3, 'PROMOTE', :b, :at)"), row)
command.upgrade(config, "head")
from include.evidence.chain import Entry, faults
from lifecycle.db.evidence import history
rows, head = history(session, 0, 10)
found = {"rows": [[row["kind"], row["content"].get("number")] for row in rows], "refused": []}
found["faults"] = list(faults([Entry(**row) for row in rows], head))
session.commit()
for statement in ("UPDATE updraft_verdict SET kind = 'gate'", "DELETE FROM updraft_look"):
    try:
        with settings.engine.begin() as connection:
            connection.execute(text(statement))
    except Exception as error:
        found["refused"].append(str(error))
command.downgrade(config, "0002")
with settings.engine.connect() as connection:
    tables = ("updraft_verdict", "updraft_look")
    found["after"] = [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in tables]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What becomes of two looks and a verdict that are there before the chain, on the way up and back."""
    body = "\n".join(f"    {line}" for line in KEPT.strip().splitlines())
    return Parsing(tmp_path_factory.mktemp("kept")).ask(SETUP + body)


def test_what_was_kept_before_the_chain_is_chained_in_its_order(kept):
    assert kept["rows"] == [["look", 0], ["look", 1], ["verdict", None]] and kept["faults"] == []


def test_the_database_itself_refuses_to_change_what_is_kept(kept):
    assert len(kept["refused"]) == 2 and all("append-only" in refused for refused in kept["refused"])


def test_what_is_kept_survives_the_way_back(kept):
    assert kept["after"] == [1, 2]


def test_dropping_takes_the_version_table_too(database):
    assert (
        database("""
command.upgrade(config, "head")
with settings.engine.begin() as connection:
    manager.drop_tables(connection)
session.commit()
print(json.dumps(tables()))
""")
        == []
    )


def test_there_is_one_head(database):
    assert len(database("print(json.dumps(list(manager.get_script_object().get_heads())))")) == 1
