from collections import Counter
from dataclasses import replace

import pytest

from include.canary.observations import Arm
from include.errors import InputError
from include.gateway.gateway import Gateway
from include.gateway.observe import arm, read_entries
from include.gateway.table import Split
from tests.waiting import until

pytestmark = pytest.mark.integration


def shares(stage, count=400):
    return Counter(stage.infer("duo").headers["x-updraft-revision"] for _ in range(count))


def files(stage):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (stage.settings.envoy / "xds").iterdir()}


def test_traffic_follows_the_weights_at_once(stage, duo):
    stage.gateway.set_split("duo", {"1": 75, "2": 25})
    # 400 draws at 25 %: 60 to 140 holds but once in ten million.
    assert 60 <= shares(stage)["2"] <= 140
    stage.gateway.set_split("duo", {"2": 100})
    assert shares(stage, 50) == {"2": 50}


def test_the_split_is_read_from_envoys_own_files(stage, duo):
    stage.gateway.set_split("duo", {"1": 90, "2": 10})
    another = Gateway(stage.settings, stage.credentials)
    assert another.split("duo") == Split({"1": 90, "2": 10})
    assert set(another.revisions("duo")) == {"1", "2"}
    assert "duo" in another.models()


def test_the_same_split_again_changes_no_file(stage, duo):
    stage.gateway.set_split("duo", {"1": 90, "2": 10})
    before = files(stage)
    stage.gateway.set_split("duo", {"1": 90, "2": 10})
    assert files(stage) == before


def test_a_refused_split_changes_nothing(stage, duo):
    before = files(stage)
    with pytest.raises(InputError):
        stage.gateway.set_split("duo", {"1": 90, "7": 10})
    assert files(stage) == before


def test_a_mirrored_revision_gets_copies_and_answers_nobody(stage, duo):
    stage.gateway.set_split("duo", {"1": 100}, mirror="2")
    assert stage.gateway.split("duo") == Split({"1": 100}, "2")
    cursor = stage.mark()
    assert shares(stage, 20) == {"1": 20}

    def copies():
        return arm(read_entries(stage.gateway.access_log, cursor)[0], "duo", "2", "mirror").requests

    until(lambda: copies() == 20)
    entries, _ = read_entries(stage.gateway.access_log, cursor)
    stable, canary, _ = stage.gateway.source("duo", "1", "2").since(cursor.to_json(), mirrored=True)
    assert (stable.requests, canary.requests, canary.errors) == (20, 20, 0)
    assert arm(entries, "duo", "2").requests == 0


def test_probes_are_no_observations(stage, duo):
    cursor = stage.mark()
    for _ in range(5):
        stage.infer("duo", headers=stage.credentials.probe_headers("demo", "2"))
    stage.infer("duo")
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) == 6)
    entries, _ = read_entries(stage.gateway.access_log, cursor)
    assert arm(entries, "duo", "2").requests == 0
    assert arm(entries, "duo", "1").requests == 1


def test_a_callers_mistake_is_not_the_models_error(stage, duo):
    cursor = stage.mark()
    stage.client.post("/v2/models/duo/infer", content=b"{}")
    stage.infer("duo")
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) == 2)
    seen = arm(read_entries(stage.gateway.access_log, cursor)[0], "duo", "1")
    assert (seen.requests, seen.errors, seen.latencies.n) == (1, 0, 1)


def test_a_revision_may_be_known_by_a_name(stage, duo, pair):
    stage.gateway.add_revision(replace(pair[0].endpoint(), host="localhost"))
    until(lambda: stage.gateway.admin.healthy(pair[0].endpoint().cluster))
    answers = {stage.infer("duo").status_code for _ in range(5)}
    stage.gateway.add_revision(pair[0].endpoint())
    assert answers == {200}


def test_a_failing_wrapper_is_counted_for_its_revision(stage, duo):
    bad = stage.serve("duo", "3", error_rate=0.5)
    stage.gateway.add_revision(bad.endpoint())
    stage.gateway.set_split("duo", {"1": 50, "3": 50})
    cursor = stage.mark()
    statuses = Counter((answer.headers["x-updraft-revision"], answer.status_code) for answer in (stage.infer("duo") for _ in range(60)))
    until(lambda: len(read_entries(stage.gateway.access_log, cursor)[0]) == 60)
    stable, canary, mark = stage.gateway.source("duo", "1", "3").since(cursor.to_json())
    assert stage.gateway.source("duo", "1", "3").since(mark) == (Arm(), Arm(), mark)
    stage.gateway.set_split("duo", {"1": 100})
    stage.gateway.remove_revision("duo", "3")
    stage.backend.stop(bad)
    assert statuses["1", 500] == 0
    assert statuses["3", 500] > 0
    assert canary.errors == statuses["3", 500]
    assert stable.errors == 0
