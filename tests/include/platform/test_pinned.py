"""What carries the platform's secrets is sent to the addresses alone that it was started with."""

from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import InputError
from include.runtime import pinned
from include.runtime.settings import Settings

DECLARED = [{"conn_id": "updraft_mlflow", "conn_host": "http://127.0.0.1:8050"}, {"conn_id": "warehouse", "conn_host": "db.example.org"}]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


def test_a_connection_that_leads_elsewhere_is_refused_and_the_one_of_the_start_is_not(settings):
    pinned.pin(settings, DECLARED)
    assert pinned.insist(settings, "updraft_mlflow", "http://127.0.0.1:8050") == "http://127.0.0.1:8050"
    for elsewhere in ("http://evil.example.org", "http://127.0.0.1:8051", "http://127.0.0.1:8050@evil.example.org", "", "None"):
        with pytest.raises(InputError, match=r"connection updraft_mlflow.*no password is sent there.*airflow_settings\.yaml"):
            pinned.insist(settings, "updraft_mlflow", elsewhere)


def test_others_connections_and_those_that_the_file_does_not_have_lead_where_they_do(settings):
    pinned.pin(settings, DECLARED)
    assert pinned.insist(settings, "warehouse", "elsewhere") == pinned.insist(settings, "updraft_kubernetes", "elsewhere") == "elsewhere"


def test_without_a_platform_of_this_machine_nothing_is_pinned(settings):
    assert pinned.insist(settings, "updraft_mlflow", "http://mlflow.svc") == "http://mlflow.svc"


def test_a_new_start_is_what_counts(settings):
    pinned.pin(settings, DECLARED)
    pinned.pin(settings, [{"conn_id": "updraft_mlflow", "conn_host": "http://127.0.0.1:9050"}])
    assert pinned.insist(settings, "updraft_mlflow", "http://127.0.0.1:9050")


def test_the_door_that_pods_are_told_of_is_the_one_of_the_start(settings):
    pinned.pin(settings, DECLARED)
    assert pinned.insist(settings, pinned.DOOR, "http://anywhere") == "http://anywhere"  # the connection was added since
    pinned.pin_door(settings, {"namespace": "n", "steps": {"mlflow": "http://10.0.0.1:8051"}})
    assert pinned.insist(settings, pinned.DOOR, "http://10.0.0.1:8051") and pinned.insist(
        settings, "updraft_mlflow", "http://127.0.0.1:8050"
    )
    for elsewhere in ("http://evil.example.org", ""):
        with pytest.raises(InputError, match=r"steps\.mlflow.*make up"):
            pinned.insist(settings, pinned.DOOR, elsewhere)
    pinned.pin_door(settings, {"steps": "nonsense"})
    assert pinned.insist(settings, pinned.DOOR, "") == ""


def test_tasks_and_pages_ask_before_they_send(settings, monkeypatch):
    """Every place that reads one of the platform's own connections."""
    pytest.importorskip("airflow.sdk")
    from gpu_pool.client import PoolClient
    from lifecycle import run
    from lifecycle.api import live

    monkeypatch.setenv("UPDRAFT_HOME", str(settings.home))
    named = [{"conn_id": name, "conn_host": "http://127.0.0.1:1"} for name in ("updraft_mlflow", "updraft_door", "updraft_api")]
    pinned.pin(settings, named)
    for entry in named:
        where = f"AIRFLOW_CONN_{entry['conn_id'].upper()}"
        monkeypatch.setenv(where, '{"conn_type": "http", "host": "http://elsewhere", "login": "a", "password": "b"}')
    for ask in (run.mlflow, run.airflow_api, lambda: run.door(run.Grant(), 1), PoolClient.connect, live.registry):
        with pytest.raises(InputError, match="no password is sent there"):
            ask()
