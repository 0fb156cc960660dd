"""The plugin's tables: from nothing and back, and the same as the classes that use them."""

import pytest

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
