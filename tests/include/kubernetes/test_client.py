"""The real client against answers as an API server gives them, and against none."""

import pytest

from include.errors import ComponentError, InputError
from include.kubernetes.client import ApiRefused, NoAnswer, ask_json, connected
from include.kubernetes.patience import insist
from tests.include.kubernetes.api_server import api_server


def core(server):
    from kubernetes.client import CoreV1Api

    return CoreV1Api(server.client())


def test_an_answer_is_plain_json_and_a_refusal_is_told_with_its_status_and_words():
    with api_server() as server:
        made = ask_json(core(server).create_namespaced_secret, "ns", {"metadata": {"name": "a"}})
        assert made["metadata"]["name"] == "a"
        with pytest.raises(ApiRefused) as refused:
            ask_json(core(server).read_namespaced_secret, "b", "ns")
        assert (refused.value.status, refused.value.said) == (404, 'secrets "b" not found')


def test_a_server_that_is_away_gives_no_answer():
    with api_server() as server:
        api = core(server)
    with pytest.raises(NoAnswer, match="gives no answer"):
        ask_json(api.read_namespaced_secret, "b", "ns")


def test_a_connection_that_names_no_cluster_is_refused_by_its_name(tmp_path):
    with pytest.raises(InputError, match="updraft_kubernetes"):
        connected({"kube_config_path": str(tmp_path / "none")})


def test_what_must_come_through_is_tried_until_the_server_is_back(monkeypatch):
    from include.kubernetes import patience

    monkeypatch.setattr(patience, "AGAIN_S", 0.0)
    tries = []

    def call() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise NoAnswer("test")
        return "there"

    assert insist(call, 60) == "there"
    with pytest.raises(NoAnswer):
        insist(lambda: (_ for _ in ()).throw(NoAnswer("test")), 0)
    with pytest.raises(ComponentError, match="other"):
        insist(lambda: (_ for _ in ()).throw(ComponentError("other")), 60, NoAnswer)
