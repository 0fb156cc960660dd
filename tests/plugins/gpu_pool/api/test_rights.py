"""Who may do what, and who may not."""

import time

import jwt
import pytest
from sqlalchemy import create_engine, update

from gpu_pool.db.store import AGENT
from tests.plugins.gpu_pool.api.conftest import Fleet, Served

ID = "0" * 32
READS = ["inventory", "requests", "leases", "quotas", "events", "metrics", "nodes/x/history", "/openapi.json", "/ui"]
OPERATES = [
    ("POST", "requests", {"key": "k", "gpus": 1}),
    ("POST", f"requests/{ID}/heartbeat", {}),
    ("DELETE", f"requests/{ID}", None),
    ("POST", f"leases/{ID}/heartbeat", {"token": 1}),
    ("POST", f"leases/{ID}/release", {"token": 1}),
]
RULES = [
    ("POST", f"leases/{ID}/force-release", {"reason": "x"}),
    ("PUT", "quotas/t", {"guaranteed": 1}),
    ("DELETE", "quotas/t", None),
    ("POST", "nodes/x/cordon", {"reason": "x"}),
    ("POST", "nodes/x/uncordon", {}),
    ("DELETE", "nodes/x", None),
    ("POST", "agents/x", {}),
    ("GET", "agents", None),
    ("DELETE", "agents/x", None),
]


@pytest.mark.parametrize("path", READS)
def test_nobody_reads_without_a_token(served: Served, path: str) -> None:
    assert served.get(path, user=None).status_code == 401


@pytest.mark.parametrize(("method", "path", "body"), OPERATES + RULES)
def test_nobody_does_anything_without_a_token(served: Served, method: str, path: str, body: object) -> None:
    assert served.call(method, path, None, json=body).status_code == 401


@pytest.mark.parametrize("path", READS[:-2])
def test_a_viewer_reads(served: Served, path: str) -> None:
    assert served.get(path, "vera").status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), OPERATES + RULES)
def test_a_viewer_changes_nothing(served: Served, method: str, path: str, body: object) -> None:
    assert served.call(method, path, "vera", json=body).status_code == 403


@pytest.mark.parametrize(("method", "path", "body"), RULES)
def test_an_operator_does_not_rule(served: Served, method: str, path: str, body: object) -> None:
    assert served.call(method, path, "olaf", json=body).status_code == 403


def test_an_expired_token_is_refused(served: Served) -> None:
    claims = jwt.decode(served.tokens["olaf"], options={"verify_signature": False})
    header = jwt.get_unverified_header(served.tokens["olaf"])
    secret = "of this test alone, and long enough to sign with it"
    past = claims | {"exp": int(time.time()) - 3600}
    token = jwt.encode(past, secret, algorithm=header["alg"], headers={key: value for key, value in header.items() if key != "alg"})
    answer = served.get("inventory", token=token)
    assert (answer.status_code, answer.json()["detail"]) == (401, "Token Expired")


def test_a_forged_token_is_refused(served: Served) -> None:
    claims = jwt.decode(served.tokens["olaf"], options={"verify_signature": False})
    assert served.get("inventory", token=jwt.encode(claims, "guessed" * 8, algorithm="HS512")).status_code in (401, 403)


def test_a_viewer_cannot_release_a_lease(fleet: Fleet) -> None:
    lease = fleet.lease()
    answer = fleet.served.post(f"leases/{lease['id']}/release", {"token": lease["token"]}, "vera")
    assert answer.status_code == 403
    assert fleet.shown()["devices"][0]["leased_milli"] == 1000


def test_another_operator_can_neither_renew_nor_release_nor_cancel(fleet: Fleet) -> None:
    lease = fleet.lease("olaf")
    for what in ("heartbeat", "release"):
        assert fleet.served.post(f"leases/{lease['id']}/{what}", {"token": lease["token"]}, "olga").status_code == 403
    assert fleet.served.call("DELETE", f"requests/{lease['request_id']}", "olga").status_code == 403
    assert fleet.shown()["devices"][0]["leased_milli"] == 1000


def test_the_fencing_token_is_shown_to_its_holder_alone(fleet: Fleet) -> None:
    lease = fleet.lease("olaf")
    assert fleet.served.get(f"leases/{lease['id']}", "olaf").json()["token"] == lease["token"]
    for user in ("olga", "vera", "anna"):
        assert fleet.served.get(f"leases/{lease['id']}", user).json()["token"] is None
        assert all(row["token"] is None for row in fleet.served.get("leases", user).json() if row["holder"] != user)
        shown = fleet.served.get(f"requests/{lease['request_id']}", user).json()
        assert shown["lease"]["token"] is None


def test_another_ones_key_is_no_way_to_its_lease(fleet: Fleet) -> None:
    fleet.lease("olaf", key=f"{fleet.name}/k")
    assert fleet.ask("olga", key=f"{fleet.name}/k").status_code == 409


def test_an_admin_may_cancel_and_force(fleet: Fleet) -> None:
    lease = fleet.lease()
    answer = fleet.served.post(f"leases/{lease['id']}/force-release", {"reason": "maintenance"}, "anna")
    assert (answer.status_code, answer.json()["end"]) == (200, "forced")
    told = fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]})
    assert (told.status_code, told.json()["lease"]["end"]) == (410, "forced")
    waiting = fleet.ask(gpus=1).json()
    assert fleet.served.call("DELETE", f"requests/{waiting['id']}", "anna").json()["end"] == "cancelled"


def test_an_agent_reports_no_node_but_its_own(fleet: Fleet, served: Served) -> None:
    for name in ("other", f"{fleet.name}/x", f"{fleet.name}x"):
        answer = fleet.report(nodes=[{"name": name, "devices": []}])
        assert (answer.status_code, name in answer.json()["detail"]) == (403, True)
    assert "other" not in [node["name"] for node in served.get("inventory").json()["nodes"]]


def test_a_cluster_reports_nodes_below_its_name_and_no_others(served: Served) -> None:
    token = served.agent("k8s", cluster=True)

    def report(number: int, *names: str) -> int:
        nodes = [{"name": name, "devices": []} for name in names]
        body = {"source": "kubernetes", "sequence": number, "clock": 0.0, "nodes": nodes}
        return served.call("PUT", "reports/k8s", token=token, json=body).status_code

    assert report(1, "k8s/a", "k8s/b.example") == 200
    assert [report(2, name) for name in ("k8s", "k8s/", "a", "k8sx/a")] == [403] * 4
    assert served.get("nodes/k8s/a/history").json()["node"] == "k8s/a"
    assert served.post("nodes/k8s/a/cordon", {"reason": "fan"}, "anna").json()["cordoned"] == "fan"
    for name in ("k8s/a", "k8s/b.example"):
        assert served.call("DELETE", f"nodes/{name}", "anna").status_code == 200


def test_an_agents_token_is_of_no_use_to_another_agent_or_a_user(fleet: Fleet, served: Served) -> None:
    served.agent("someone")
    body = {"source": "declared", "sequence": 1, "clock": 0.0, "nodes": []}
    assert served.call("PUT", "reports/someone", token=fleet.token, json=body).status_code == 403
    for path in READS:
        assert served.get(path, token=fleet.token).status_code in (401, 403)
    assert served.post("requests", {"key": "k", "gpus": 1}, token=fleet.token).status_code in (401, 403)


@pytest.mark.parametrize("user", ["anna", "olaf", "vera"])
def test_no_user_reports(fleet: Fleet, user: str) -> None:
    body = {"source": "declared", "sequence": 99, "clock": 0.0, "nodes": []}
    assert fleet.served.call("PUT", f"reports/{fleet.name}", user, json=body).status_code == 401


def test_nobody_reports_without_a_token(fleet: Fleet) -> None:
    assert fleet.served.call("PUT", f"reports/{fleet.name}", None, json={}).status_code == 401


def test_an_agents_expired_token_is_refused(fleet: Fleet) -> None:
    engine = create_engine(fleet.served.database, connect_args={"timeout": 30})
    with engine.begin() as connection:
        connection.execute(update(AGENT).where(AGENT.c.reporter == fleet.name).values(expires_at=time.time() - 1))
    engine.dispose()
    answer = fleet.report()
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)


def test_a_new_token_ends_the_one_before_and_a_removed_agent_has_none(fleet: Fleet) -> None:
    before, fleet.token = fleet.token, fleet.served.agent(fleet.name)
    assert fleet.report().status_code == 200
    assert Fleet(fleet.served, fleet.name, before).report(sequence=99).status_code == 401
    assert fleet.served.call("DELETE", f"agents/{fleet.name}", "anna").status_code == 200
    assert fleet.report().status_code == 401


def test_a_token_is_shown_once_and_kept_nowhere(fleet: Fleet) -> None:
    listed = next(row for row in fleet.served.get("agents", "anna").json() if row["reporter"] == fleet.name)
    assert set(listed) == {"reporter", "cluster", "created_by", "created_at", "expires_at"}
    database = fleet.served.database.removeprefix("sqlite:///")
    with open(database, "rb") as file:
        assert fleet.token.encode() not in file.read()
    log = fleet.served.log.read_text()
    assert fleet.token not in log and fleet.served.tokens["olaf"] not in log


def test_the_page_may_only_run_its_own_script(served: Served) -> None:
    answer = served.get("/ui/no-such-file.js")
    assert answer.status_code == 404
    page = served.get("/ui")
    if page.status_code == 200:
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]


def test_who_asks_says_its_team_only_among_those_that_the_settings_give_it(fleet: Fleet) -> None:
    refused = fleet.ask("tina", team="research")
    assert (refused.status_code, "no team of tina's" in refused.json()["detail"]) == (403, True)
    assert fleet.served.post("what-if", {"gpus": 1, "team": "research"}, "tina").status_code == 403
    assert fleet.ask("tina").json()["ask"]["team"] == "vision"
    assert fleet.ask("tina", team="text").json()["ask"]["team"] == "text"
    assert fleet.ask("olaf", team="research").json()["ask"]["team"] == "research"
    assert fleet.ask("anna", team="research").json()["ask"]["team"] == "research"
