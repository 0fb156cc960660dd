"""Asking, holding and giving back over HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.plugins.gpu_pool.api.conftest import Fleet, Served, fleet_of
from tests.plugins.gpu_pool.asking import kept, overlaps, oversubscribed
from tests.waiting import until


def test_the_same_key_is_the_same_request_and_fences_off_who_asked_before(fleet: Fleet) -> None:
    first = fleet.lease(key=f"{fleet.name}/k")
    again = fleet.lease(key=f"{fleet.name}/k")
    assert (again["id"], again["token"] > first["token"]) == (first["id"], True)
    for what in ("heartbeat", "release"):
        stale = fleet.served.post(f"leases/{first['id']}/{what}", {"token": first["token"]})
        assert stale.status_code == 409
    assert fleet.served.post(f"leases/{first['id']}/heartbeat", {"token": again["token"]}).status_code == 200


def test_a_heartbeat_moves_the_end(fleet: Fleet) -> None:
    lease = fleet.lease()
    beat = fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]}).json()
    assert datetime.fromisoformat(beat["expires_at"]) > datetime.fromisoformat(lease["expires_at"])
    assert beat["token"] == lease["token"]


def test_a_lease_given_back_is_gone_and_giving_it_back_again_is_fine(fleet: Fleet) -> None:
    lease = fleet.lease()
    for _ in range(2):
        answer = fleet.served.post(f"leases/{lease['id']}/release", {"token": lease["token"]})
        assert (answer.status_code, answer.json()["end"]) == (200, "released")
    answer = fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]})
    assert (answer.status_code, answer.json()["lease"]["end"]) == (410, "released")
    assert "released" in answer.json()["detail"]
    assert fleet.served.get(f"leases/{lease['id']}").json()["ended_at"]
    assert lease["id"] in [row["id"] for row in fleet.served.get("leases?live=false").json()]
    assert lease["id"] not in [row["id"] for row in fleet.served.get("leases").json()]


def test_who_waits_reads_why_and_where_it_stands(fleet: Fleet) -> None:
    held = fleet.lease(duration_s=600)
    first, second = (fleet.ask().json() for _ in range(2))
    row = fleet.served.get(f"requests/{first['id']}").json()
    assert (row["state"], row["lease"]) == ("WAITING", None)
    assert row["reasons"] and fleet.name in row["reasons"][0]
    assert row["position"] < fleet.served.get(f"requests/{second['id']}").json()["position"]
    order = [one["id"] for one in fleet.served.get("requests?state=waiting").json()]
    assert order.index(first["id"]) < order.index(second["id"])
    fleet.served.post(f"leases/{held['id']}/release", {"token": held["token"]})
    assert fleet.served.get(f"requests/{first['id']}").json()["lease"]["state"] == "ACTIVE"
    for one in (first, second):
        fleet.served.call("DELETE", f"requests/{one['id']}")


def test_a_cancelled_request_stays_readable_and_its_heartbeat_says_it_is_over(fleet: Fleet) -> None:
    row = fleet.ask().json()
    for _ in range(2):
        answer = fleet.served.call("DELETE", f"requests/{row['id']}")
        assert (answer.status_code, answer.json()["end"]) == (200, "cancelled")
    assert fleet.served.get(f"requests/{row['id']}").json()["state"] == "ENDED"
    assert row["id"] in [one["id"] for one in fleet.served.get("requests?state=ended").json()]
    assert [one["id"] for one in fleet.served.get("requests", params={"state": "ended", "key": row["key"]}).json()] == [row["id"]]
    assert fleet.served.post(f"requests/{row['id']}/heartbeat", {}).status_code == 410
    assert fleet.served.call("DELETE", f"requests/{row['id']}", "olga").status_code == 403


def test_what_can_never_be_is_refused_with_the_nearest_that_can(fleet: Fleet) -> None:
    answer = fleet.ask(gpus=9)
    assert (answer.status_code, answer.json()["nearest"]["gpus"]) == (422, 1)


def test_a_preempted_holder_is_told_by_its_heartbeat_and_its_request_waits_again(fleet: Fleet) -> None:
    lease = fleet.lease(priority=2)
    stronger = fleet.ask("olga", priority=9).json()
    told = fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]}).json()
    assert (told["state"], told["notice"]["kind"]) == ("NOTICED", "preempted")
    back = fleet.served.post(f"leases/{lease['id']}/release", {"token": lease["token"], "requeue": True})
    assert (back.status_code, back.json()["end"]) == (200, "preempted")
    mine = fleet.served.get(f"requests/{lease['request_id']}").json()
    assert (mine["state"], mine["preemptions"]) == ("WAITING", 1)
    assert fleet.served.get(f"requests/{stronger['id']}", "olga").json()["state"] == "GRANTED"


def test_a_lost_device_ends_the_lease_and_the_heartbeat_says_why(fleet: Fleet) -> None:
    lease = fleet.lease()
    assert fleet.report(failed="Xid 79").status_code == 200
    answer = fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]})
    assert (answer.status_code, answer.json()["lease"]["end"]) == (410, "lost")
    assert "failed" in answer.json()["detail"]
    waiting = fleet.served.get(f"requests/{lease['request_id']}").json()
    assert waiting["state"] == "WAITING"
    fleet.report()
    assert fleet.served.get(f"requests/{lease['request_id']}").json()["state"] == "GRANTED", "placed again once a device is there"


@pytest.mark.parametrize("clock", [0.0, 4e9])
def test_an_agents_wrong_clock_does_no_harm(fleet: Fleet, clock: float) -> None:
    lease = fleet.lease()
    assert fleet.report(clock=clock).status_code == 200
    node = fleet.shown()
    assert not node["lost"] and abs(node["clock_skew_s"]) > 1e8
    assert fleet.served.post(f"leases/{lease['id']}/heartbeat", {"token": lease["token"]}).status_code == 200


def test_a_report_that_comes_again_or_late_is_refused_and_changes_nothing(fleet: Fleet) -> None:
    assert fleet.report(2, sequence=10).status_code == 200
    for sequence in (10, 9, 0):
        assert fleet.report(8, sequence=sequence).status_code == 409
    assert len(fleet.shown()["devices"]) == 2


def test_a_cordoned_node_gets_nothing_new(fleet: Fleet) -> None:
    assert fleet.served.post(f"nodes/{fleet.name}/cordon", {"reason": "fan"}, "anna").json()["cordoned"] == "fan"
    row = fleet.ask().json()
    assert (row["state"], fleet.shown()["cordoned"]) == ("WAITING", "fan")
    fleet.served.post(f"nodes/{fleet.name}/uncordon", {}, "anna")
    assert fleet.served.get(f"requests/{row['id']}").json()["state"] == "GRANTED"


def test_a_gpu_is_cut_anew_by_the_answer_to_a_report(fleet: Fleet) -> None:
    def report(*places: tuple[str, int]) -> list[dict[str, Any]]:
        instances = [
            {
                "uuid": f"{fleet.name}/{profile}@{first}",
                "index": index,
                "model": "H100-80GB",
                "memory_mib": 9984,
                "mig": profile,
                "parent": f"{fleet.name}-gpu",
                "first_slice": first,
            }
            for index, (profile, first) in enumerate(places)
        ]
        labels = {"of": fleet.name, "updraft.io/mig-recut": "true"}
        answer = fleet.report(nodes=[{"name": fleet.name, "labels": labels, "devices": instances}])
        assert answer.status_code == 200, answer.text
        return list(answer.json()["cuts"])

    seven = [("1g.10gb", first) for first in range(1, 8)]
    assert report(*seven) == []
    held = fleet.lease(gpus=0, mig="1g.10gb")["grants"][0]["uuids"]
    waiting = fleet.ask(gpus=0, mig="3g.40gb").json()
    assert waiting["state"] == "WAITING" and "is being cut" in waiting["reasons"][0]
    (cut,) = report(*seven)
    assert cut["parent"] == f"{fleet.name}-gpu" and not set(held) & set(cut["destroy"])
    left = [place for place in seven if f"{fleet.name}/{place[0]}@{place[1]}" not in cut["destroy"]]
    assert report(*left, *map(tuple, cut["create"])) == []
    granted = fleet.served.get(f"requests/{waiting['id']}").json()
    assert granted["lease"]["grants"][0]["model"] == "H100-80GB 3g.40gb"


def test_a_preference_that_means_nothing_is_refused(fleet: Fleet) -> None:
    for fields in ({"prefer": {"same": "rack"}}, {"nodes": 2, "prefer": {"near": "rack"}}):
        answer = fleet.ask(**fields)
        assert answer.status_code == 422 and "prefer" in answer.text


def test_what_if_changes_nothing(fleet: Fleet) -> None:
    body = {"gpus": 1, "labels": {"of": fleet.name}}
    before = fleet.shown()["devices"]  # its own node's: what other tests have left on theirs lapses meanwhile
    answer = fleet.served.post("what-if", body, "vera").json()
    assert (answer["possible_now"], answer["grants"][0]["node"]) == (True, fleet.name)
    assert fleet.shown()["devices"] == before
    lease = fleet.lease(priority=1)
    assert [row["id"] for row in fleet.served.post("what-if", body, "vera").json()["preempts"]] == [lease["id"]]
    assert fleet.served.post("what-if", body | {"gpus": 9}, "vera").json()["impossible"] is True


def test_events_tell_what_happened_the_latest_first(fleet: Fleet) -> None:
    lease = fleet.lease()
    fleet.served.post(f"leases/{lease['id']}/release", {"token": lease["token"]})
    events = fleet.served.get(f"events?node={fleet.name}").json()
    assert [event["kind"] for event in events] == ["ended", "granted", "node_new"]
    newer = fleet.served.get(f"events?node={fleet.name}&after={events[1]['id']}").json()
    assert newer == events[:1]


def test_quotas_show_what_teams_use(fleet: Fleet) -> None:
    team = fleet.name
    assert fleet.served.call("PUT", f"quotas/{team}", "anna", json={"guaranteed": 0, "limit": 1.0}).json()["declared"] is True
    fleet.lease(team=team)
    mine = next(row for row in fleet.served.get("quotas").json() if row["team"] == team)
    assert (mine["used"], mine["borrowed"], mine["limit"]) == (1.0, 1.0, 1.0)
    assert mine["past_gpu_hours"] == 0.0
    assert fleet.served.call("PUT", f"quotas/{team}", "anna", json={"guaranteed": 2, "limit": 1}).status_code == 422
    assert fleet.served.call("DELETE", f"quotas/{team}", "anna").status_code == 200
    assert fleet.served.call("DELETE", f"quotas/{team}", "anna").status_code == 404
    assert next(row for row in fleet.served.get("quotas").json() if row["team"] == team)["declared"] is False


def test_figures_for_prometheus(fleet: Fleet) -> None:
    fleet.lease()
    lines = fleet.served.get("metrics").text.splitlines()
    assert f'updraft_gpu_device_leased_milli{{node="{fleet.name}",gpu="0",model="H100-80GB"}} 1000' in lines
    assert all(line.startswith("#") or float(line.rpartition(" ")[2]) >= 0 for line in lines)


def test_a_nodes_curve(fleet: Fleet) -> None:
    """Points come every half minute; here the table already holds some."""
    now = int(time.time())
    engine = create_engine(fleet.served.database, connect_args={"timeout": 30})
    row = "INSERT INTO updraft_gpu_sample VALUES (:node, :at, 1000, :leased, 0, 0, 81920, NULL, 31.5, NULL)"
    with engine.begin() as connection:
        rows = [{"node": fleet.name, "at": now - age, "leased": age % 1001} for age in (7200, 300, 100)]
        connection.execute(text(row), rows)
    engine.dispose()
    points = fleet.served.get(f"nodes/{fleet.name}/history?hours=1", "vera").json()["points"]
    known = [point for point in points if point["temperature_c"] == 31.5]
    assert [point["leased_milli"] for point in known] == [300, 100]


def test_what_work_has_used_is_set_beside_what_it_asked_for(fleet: Fleet) -> None:
    """Peaks come from agents of real GPUs (``tests/include/pool/test_sizes.py``); here the table already holds some."""
    engine = create_engine(fleet.served.database, connect_args={"timeout": 30})
    for run in range(3):
        lease = fleet.lease(key=f"{fleet.name}/r{run}/train/-1")
        fleet.served.post(f"leases/{lease['id']}/release", {"token": lease["token"]})
        with engine.begin() as connection:
            connection.execute(text("UPDATE updraft_gpu_lease SET peak_mib = 9000 WHERE id = :id"), {"id": lease["id"]})
    engine.dispose()
    (row,) = [row for row in fleet.served.get("sizes", "vera").json() if row["work"] == f"{fleet.name}/train"]
    assert (row["size"], row["leases"], row["granted_mib"], row["peak_mib"]) == ("1 GPU", 3, 81920, 9000)
    assert (row["proposed_mib"], row["proposal"]) == (11 * 1024, "It could ask for `memory: 11GiB`.")


def test_airflows_own_pools_tell_the_truth_too(on_either: Served) -> None:
    fleet = fleet_of(on_either, 3)
    model = f"Model-{fleet.name}"
    devices = [{"uuid": f"{fleet.name}-{n}", "index": n, "model": model, "memory_mib": 1024, "failed": "x" * (n == 2)} for n in range(3)]
    fleet.report(nodes=[{"name": fleet.name, "labels": {"of": fleet.name}, "devices": devices}])
    fleet.lease(gpus=1)
    engine = create_engine(on_either.database)

    def pool() -> object:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT slots, description FROM slot_pool WHERE pool = :name"), {"name": f"gpu {model}"})
            return [tuple(row) for row in found]

    until(lambda: pool() == [(2, "Kept by Updraft's GPU pool: 1 leased, 1 free.")])
    engine.dispose()


def test_concurrent_clients_over_http_never_get_a_device_twice(on_either: Served) -> None:
    fleet = fleet_of(on_either, 4)

    def client(number: int) -> int:
        got = 0
        for turn in range(12):
            ask = {"gpus": 1} if (number + turn) % 3 else {"gpus": 0, "fraction": 0.4}
            row = fleet.ask(key=f"{fleet.name}/{number}/{turn}", **ask).json()
            if row["lease"]:
                got += 1
                assert fleet.served.post(f"leases/{row['lease']['id']}/release", {"token": row["lease"]["token"]}).status_code == 200
            else:
                fleet.served.call("DELETE", f"requests/{row['id']}")
        return got

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(client, range(8))) > 8
    leases = [lease for lease in kept(on_either.database) if lease.grants[0].node == fleet.name]
    assert oversubscribed(leases) == {} and overlaps(leases) == []
