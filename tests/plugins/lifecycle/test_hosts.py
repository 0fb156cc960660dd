"""Where servers run, by what the cluster's connection says."""

import json
import stat
from dataclasses import replace

import pytest

from gpu_pool.operators import holding
from include.errors import InputError
from include.pool.ask import Ask
from include.runtime.settings import Settings
from include.serving.kubernetes.access import ClusterAccess
from include.serving.kubernetes.host import KubernetesHost
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from lifecycle import hosts
from lifecycle.leases import placed

SERVERS = {"image": "example.org/{runtime}:1", "max_replicas": 2}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


@pytest.fixture
def connect(monkeypatch):
    def connect(**extra) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_KUBERNETES", json.dumps({"conn_type": "kubernetes", "extra": extra}))

    return connect


def test_servers_are_deployments_once_the_connection_says_how(settings, connect):
    assert hosts.host_of("kubernetes", settings) == "process"
    connect(namespace="ns", steps={})
    assert hosts.host_of("kubernetes", settings) == "process"
    connect(namespace="ns", servers=SERVERS)
    assert hosts.host_of("kubernetes", settings) == "kubernetes" and hosts.host_of("process", settings) == "process"
    made = hosts.hosts(settings)["kubernetes"]()
    assert isinstance(made, KubernetesHost)


def test_a_wrong_field_is_named(settings, connect):
    connect(servers=SERVERS | {"replicas": 3})
    with pytest.raises(InputError, match=r"connection updraft_kubernetes, extra: servers: replicas: Extra inputs"):
        hosts.hosts(settings)["kubernetes"]()


def test_what_names_the_cluster_is_kept_for_the_keeper_alone(settings):
    given = ClusterAccess.of({"in_cluster": False, "kube_config": "{}", "servers": SERVERS}, "ns")
    given.save(settings)
    kept = settings.home / "kubernetes" / "servers.json"
    assert ClusterAccess.read(settings) == given and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert given.options.namespace == "ns" and given.reach == {"kube_config": "{}"}
    with pytest.raises(InputError, match="connection updraft_kubernetes: names no cluster"):
        given.client()
    assert ClusterAccess.read(replace(settings, home=settings.home / "none")) is None


def test_a_server_of_the_cluster_asks_for_the_clusters_gpus(settings, monkeypatch):
    monkeypatch.setattr(holding, "local_node", lambda settings: "here")
    ask = Ask(gpus=1)
    assert dict(placed(ask, "process", settings).labels) == {"updraft.io/node": "here"}
    assert dict(placed(ask, "kubernetes", settings).labels) == {"kubernetes.io/os": "linux"}


def test_the_table_keeps_where_a_revision_runs(settings):
    """The last word on a revision comes when it is gone."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from lifecycle.api.datamodels import RevisionBody
    from lifecycle.api.routes import put_revision
    from lifecycle.db.models import Base

    revision = Revision("digits", "3", "10.96.0.7", 8000, 8001, 8002, "d", target="kubernetes")
    revisions = Revisions(settings)
    assert hosts.facts(revisions, "digits", 3) == {}
    revision.save(settings.revisions / "digits" / "3")
    known = hosts.facts(revisions, "digits", 3)
    assert known == {"target": "kubernetes", "backend": "triton", "endpoint": "http://10.96.0.7:8000"}
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        assert put_revision(RevisionBody(model="digits", version=3, state="STARTING"), session, None).target == "process"
        put_revision(RevisionBody(model="digits", version=3, state="RUNNING", **known), session, None)
        row = put_revision(RevisionBody(model="digits", version=3, state="STOPPED", message="m"), session, None)
    assert (row.state, row.target, row.endpoint, row.message) == ("STOPPED", "kubernetes", "http://10.96.0.7:8000", "m")


def test_an_unknown_target_is_an_error_and_no_process(settings):
    with pytest.raises(InputError, match=r"no target 'kubernets'.*process, docker, kubernetes"):
        hosts.host_of("kubernets", settings)
