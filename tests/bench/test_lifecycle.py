"""What a run's overhead consists of, and the chains that it is held against."""

import pytest

from bench.lifecycle import peers
from bench.lifecycle.__main__ import causes
from bench.serving.bare import bootstrap


def test_every_second_of_overhead_has_one_cause():
    rows = [("train", 0.1, 8.0, 7.5), ("gate", 0.0, 0.5, 0.1), ("canary", 0.2, 40.0, 36.0)]
    found = causes(rows, 51.0)
    assert sum(found.values()) == pytest.approx(51.0 - 7.5 - 0.1 - 36.0)
    assert found["the canary, beyond its trial"] == pytest.approx(4.0) and found["in the executor's queue"] == pytest.approx(0.3)
    assert found["small tasks, beyond their work"] == pytest.approx(0.4) and found["between two tasks (scheduler)"] == pytest.approx(2.2)


def test_peers_run_as_many_steps():
    assert peers.metaflow(14).count("@step") == 14 and peers.zenml(14).count("value = one(") == 14
    for text in (peers.metaflow(3), peers.zenml(3)):
        compile(text, "chain.py", "exec")


def test_a_bare_envoy_has_the_gateway_s_listener_and_cluster_and_no_filter_of_ours():
    router = {"name": "envoy.filters.http.router"}
    manager = {"rds": {}, "access_log": [], "http_filters": [{"name": "envoy.filters.http.lua"}, router], "codec_type": "AUTO"}
    gateway = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"typed_config": manager}]}],
    }
    made = bootstrap(gateway, {"@type": "x", "name": "digits/1", "connect_timeout": "1s"}, 9)
    listener = made["static_resources"]["listeners"][0]
    kept = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert kept["http_filters"] == [router] and kept["codec_type"] == "AUTO" and not {"rds", "access_log"} & kept.keys()
    assert listener["address"]["socket_address"]["port_value"] == 9 and made["static_resources"]["clusters"][0]["name"] == "digits/1"
    assert gateway["address"]["socket_address"]["port_value"] == 1 and "rds" in manager
