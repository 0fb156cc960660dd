"""The GPU pool's tables on both databases: from nothing and back, and the same as the classes that use them."""

import json
import os
import subprocess
import sys

import pytest

from include.runtime.settings import REPO

SETUP = """
import json
from airflow import settings
settings.initialize()
from sqlalchemy import inspect
from airflow.utils.session import create_session
from gpu_pool.db.manager import GpuPoolDBManager
from gpu_pool.db.models import Base
from alembic import command
def tables():
    return sorted(name for name in inspect(settings.engine).get_table_names() if "updraft" in name)
OURS = sorted(Base.metadata.tables)
VERSION = "alembic_version_updraft_gpu_pool"
with create_session() as session:
    manager = GpuPoolDBManager(session)
    config = manager.get_alembic_config()
"""


@pytest.fixture
def ask(new_database, tmp_path):
    """Runs code with a manager of the plugin's tables, on an empty database; what it prints last, as JSON."""

    def ask(code):
        body = "\n".join(f"    {line}" for line in code.strip().splitlines())
        environment = os.environ | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": new_database(),
            "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
        }
        command = [sys.executable, "-c", SETUP + body]
        done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return ask


def test_upgrade_makes_every_table_just_as_the_classes_expect_and_downgrade_leaves_none(ask):
    found = ask("""
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
for target in ("head", "head"):
    command.upgrade(config, target)
up, checked = tables(), manager.check_migration()
options = {"compare_type": True, "include_object": lambda o, name, kind, *_: kind != "table" or name in OURS}
with settings.engine.connect() as connection:
    differences = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
command.downgrade(config, "base")
down = tables()
command.upgrade(config, "head")
print(json.dumps([[*OURS, VERSION], up, checked, [str(one) for one in differences], [VERSION], down, tables() == up]))
""")
    ours, up, checked, differences, nothing, down, again = found
    assert set(up) == set(ours)
    assert checked is True
    assert differences == []
    assert down == nothing
    assert again is True


def test_dropping_takes_the_version_table_too(ask):
    assert (
        ask("""
command.upgrade(config, "head")
with settings.engine.begin() as connection:
    manager.drop_tables(connection)
session.commit()
print(json.dumps(tables()))
""")
        == []
    )


def test_there_is_one_head(ask):
    assert len(ask("print(json.dumps(list(manager.get_script_object().get_heads())))")) == 1


def test_what_earlier_leases_took_is_taken_along(ask):
    found = ask("""
from sqlalchemy import text
from gpu_pool.db import models as db
command.upgrade(config, "0006")
node = {"name": "sim", "reporter": "sim", "source": "declared", "labels": {}, "devices": [], "reported_at": 1, "sequence": 1,
        "clock_skew_s": 0, "cordoned": "", "lost": False, "cuts": []}
request = {"id": "r", "key": "k", "holder": "olaf", "team": "vision", "ask": {}, "state": "GRANTED", "submitted_at": 1, "waiting_since": 1,
           "seen_at": 1, "reasons": [], "lease_id": "l", "preemptions": 0, "note": "", "end": ""}
grants = [{"node": "sim", "uuids": ["a", "b"], "indexes": [0, 1], "model": "H100-80GB", "milli": 500, "memory_mib": 1},
          {"node": "real", "uuids": ["c"], "indexes": [0], "model": "H100-80GB 3g.40gb", "milli": 1000, "memory_mib": 1}]
lease = {"id": "l", "request_id": "r", "token": 1, "state": "ACTIVE", "grants": grants, "granted_at": 2.5, "expires_at": 9, "seen_at": 2.5,
         "lent_by": "", "end": ""}
with settings.engine.begin() as connection:
    for table, row in ((db.Node, node), (db.Request, request), (db.Lease, lease)):
        connection.execute(table.__table__.insert(), row)
command.upgrade(config, "head")
with settings.engine.connect() as connection:
    rows = [dict(row) for row in connection.execute(text("SELECT * FROM updraft_gpu_use ORDER BY part")).mappings()]
print(json.dumps(rows))
""")
    kept = [(row["gpu"], round(row["gpus"], 6), bool(row["simulated"]), row["began_at"], row["ended_at"]) for row in found]
    assert kept == [("H100-80GB", 1.0, True, 2.5, None), ("H100-80GB", 0.428571, False, 2.5, None)]
    assert {(row["lease_id"], row["key"], row["team"]) for row in found} == {("l", "k", "vision")}
