import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import InputError
from include.gateway.clusters import clusters
from include.gateway.endpoint import Endpoint, Replica, cluster_name, parse_cluster
from include.gateway.routes import routes
from include.gateway.table import Table, read_table

TWO = Table().add(Endpoint("digits", "1", 9001)).add(Endpoint("digits", "2", 9002))


def key(endpoint, number):
    return f"key-{endpoint.revision}-{number}"


@st.composite
def tables(draw):
    table = Table()
    for model in draw(st.sets(st.sampled_from(["digits", "diabetes", "a_b"]))):
        protocol = draw(st.sampled_from(["kserve", "openai"]))
        revisions = sorted(draw(st.sets(st.integers(1, 99).map(str), min_size=1, max_size=4)))
        for revision in revisions:
            port, timeout_s = draw(st.integers(1024, 65535)), draw(st.floats(0.5, 600))
            more = tuple(Replica(number, "127.0.0.1", port) for number in sorted(draw(st.sets(st.integers(1, 4)))))
            table = table.add(Endpoint(model, revision, port, timeout_s=timeout_s, protocol=protocol, replicas=more))
        if draw(st.booleans()):
            first = draw(st.integers(0, 100))
            weights = {revisions[0]: first, revisions[-1]: 100 - first} if len(revisions) > 1 else {revisions[0]: 100}
            unused = [revision for revision in revisions if not weights.get(revision)]
            table = table.split(model, weights, draw(st.sampled_from([None, *unused])))
    for model in draw(st.sets(st.sampled_from(["digits", "diabetes", "new"]))):
        fits = [other for other in table.splits if model not in table.models or table.protocol(other) == table.protocol(model)]
        if others := [other for other in fits if other != model]:
            table = table.fall_back(model, draw(st.sampled_from(others)))
    return table


@given(tables())
def test_the_table_is_read_back_from_its_own_envoy_configuration(table):
    assert read_table(clusters(table, key), routes(table, "secret")) == table


@given(tables())
def test_every_cluster_that_a_route_names_exists(table):
    known = {cluster["name"] for cluster in clusters(table, key)}
    for route in routes(table, "secret")[0]["virtual_hosts"][0]["routes"]:
        action = route.get("route", {})
        named = {part["name"] for part in action.get("weighted_clusters", {}).get("clusters", [])}
        named |= {action["cluster"]} if "cluster" in action else set()
        named |= {policy["cluster"] for policy in action.get("request_mirror_policies", [])}
        assert named <= known


@given(tables())
def test_every_cluster_behind_another_exists(table):
    known = {cluster["name"] for cluster in clusters(table, key)}
    for cluster in clusters(table, key):
        assert set(cluster.get("cluster_type", {}).get("typed_config", {}).get("clusters", [])) <= known


@pytest.mark.parametrize("weights", [{"1": 50}, {"1": 60, "2": 60}, {}, {"1": 101, "2": -1}, {"1": 99.5, "2": 0.5}, {"1": True, "2": 99}])
def test_a_split_that_is_no_hundred_whole_percent_is_refused(weights):
    with pytest.raises(InputError, match="split of digits"):
        TWO.split("digits", weights)


def test_the_gateway_tells_what_the_revision_of_most_callers_takes():
    told = TWO.add(Endpoint("digits", "1", 9001, about='{"of": 1}')).add(Endpoint("digits", "2", 9002, about='{"of": 2}'))
    found = [
        route["direct_response"]["body"]["inline_string"]
        for route in routes(told.split("digits", {"1": 75, "2": 25}), "secret")[0]["virtual_hosts"][0]["routes"]
        if route["match"].get("path") == "/v2/models/digits"
    ]
    assert found == ['{"of": 1}']


def test_an_unknown_revision_is_refused_and_the_known_ones_named():
    with pytest.raises(InputError, match=r"no revision '9'.*Known: 1, 2"):
        TWO.split("digits", {"1": 90, "9": 10})


def test_a_revision_cannot_answer_and_be_mirrored_to():
    with pytest.raises(InputError, match="cannot both"):
        TWO.split("digits", {"1": 90, "2": 10}, mirror="2")


def test_a_revision_with_traffic_is_not_removed():
    with pytest.raises(InputError, match="still has traffic"):
        TWO.split("digits", {"1": 90, "2": 10}).remove("digits", "2")


def test_a_mirrored_revision_is_not_removed():
    with pytest.raises(InputError, match="still has traffic"):
        TWO.split("digits", {"1": 100}, mirror="2").remove("digits", "2")


def test_a_models_revisions_speak_one_protocol():
    with pytest.raises(InputError, match="Retire digits"):
        TWO.add(Endpoint("digits", "3", 9003, protocol="openai"))
    alone = TWO.remove("digits", "2").add(Endpoint("digits", "1", 9001, protocol="openai"))
    assert alone.protocol("digits") == "openai"


def test_a_retired_model_is_gone():
    assert TWO.split("digits", {"1": 100}).retire("digits") == Table()


@pytest.mark.parametrize(
    ("model", "revision"), [("Digits", "1"), ("a-b", "1"), ("../etc", "1"), ("digits", "v-1"), ("digits", ""), ("a.*", "1")]
)
def test_names_that_are_more_than_names_are_refused(model, revision):
    with pytest.raises(InputError, match=r"no (model|revision) name"):
        Endpoint(model, revision, 9001)


@given(st.lists(st.integers(1, 99).map(str), max_size=3).map(tuple))
def test_a_clusters_name_says_what_is_in_it(others):
    assert parse_cluster(cluster_name("a_b", "7", others)) == ("a_b", "7", others)


def test_only_requests_that_reached_no_model_are_tried_again():
    table = TWO.split("digits", {"1": 50, "2": 50})
    live = [
        route
        for route in routes(table, "s")[0]["virtual_hosts"][0]["routes"]
        if route["metadata"]["filter_metadata"]["updraft"]["kind"] == "live"
    ]
    assert live[0]["route"]["retry_policy"]["retry_on"] == "connect-failure,refused-stream,reset-before-request"


def test_an_endpoint_reads_back_as_it_was_written() -> None:
    """Envoy's files are left alone while they hold what they should: a tuple, which JSON has none of, had them written anew for ever."""
    endpoint = Endpoint("m", "1", 9000, protocol="openai", passes=("/api/",), offers=("/v1/chat/completions",))
    assert json.loads(json.dumps(endpoint.to_json())) == endpoint.to_json()
    assert Endpoint.from_json(endpoint.to_json()) == endpoint


def test_servers_of_one_revision_are_one_arm_each_with_a_key_of_its_own():
    two = (Replica(1, "127.0.0.1", 9001), Replica(2, "127.0.0.1", 9003))
    table = TWO.add(Endpoint("digits", "1", 9001, replicas=two)).split("digits", {"1": 90, "2": 10})
    (cluster,) = [one for one in clusters(table, key) if one["name"] == "digits-1"]
    servers = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    facts = [one["metadata"]["filter_metadata"]["updraft"] for one in servers]
    assert facts == [{"revision": "1", "key": "key-1-1"}, {"revision": "1", "key": "key-1-2"}]
    assert [one["endpoint"]["address"]["socket_address"]["port_value"] for one in servers] == [9001, 9003]
    live = [route for route in routes(table, "s")[0]["virtual_hosts"][0]["routes"] if "weighted_clusters" in route.get("route", {})]
    assert {part["weight"] for part in live[0]["route"]["weighted_clusters"]["clusters"]} == {90, 10}
    policy = live[0]["route"]["retry_policy"]
    assert "reset" in policy["retry_on"].split(",") and policy["retry_host_predicate"]
    alone = TWO.split("digits", {"1": 100})
    live = [route for route in routes(alone, "s")[0]["virtual_hosts"][0]["routes"] if "weighted_clusters" in route.get("route", {})]
    assert "reset" not in live[0]["route"]["retry_policy"]["retry_on"].split(",")
