import json

import pytest

from include.errors import ComponentError, InputError
from include.gateway.__main__ import main
from include.gateway.metering import INSTANCES, Meter, Usage, instance

LINE = {
    "time": "1795226598.5",
    "kind": "live",
    "client": "demo",
    "model": "chat",
    "revision": "2",
    "served_by": "2",
    "path": "/v1/chat/completions",
    "status": 200,
    "flags": "-",
    "attempts": 1,
    "upstream_us": 1_500_000,
    "first_byte_us": 20_000,
    "prompt_tokens": 12.0,
    "completion_tokens": 5.0,
    "finish_reason": "stop",
}
NEXT_DAY = "1795312998.5"


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "gateway_access.log"


@pytest.fixture
def meter(log, tmp_path):
    return Meter(log, tmp_path / "usage.json")


def write(log, *changes):
    with log.open("a") as handle:
        for change in changes:
            handle.write(json.dumps(LINE | change) + "\n")


def test_tokens_are_added_up_by_day_key_and_model(log, meter):
    write(log, {}, {"prompt_tokens": 8, "completion_tokens": 3}, {"client": "other"}, {"model": "tiny"}, {"time": NEXT_DAY})
    assert meter.update() == [
        Usage("2026-11-21", "demo", "chat", requests=2, prompt_tokens=20, completion_tokens=8, seconds=3.0),
        Usage("2026-11-21", "demo", "tiny", requests=1, prompt_tokens=12, completion_tokens=5, seconds=1.5),
        Usage("2026-11-21", "other", "chat", requests=1, prompt_tokens=12, completion_tokens=5, seconds=1.5),
        Usage("2026-11-22", "demo", "chat", requests=1, prompt_tokens=12, completion_tokens=5, seconds=1.5),
    ]


def test_batch_inference_is_metered(log, meter):
    write(log, {"kind": "batch", "client": "updraft"})
    assert [(row.client, row.completion_tokens) for row in meter.update()] == [("updraft", 5)]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "probe"},
        {"kind": "mirror"},
        {"kind": "unknown", "model": None},
        {"status": 400},
        {"status": 503, "served_by": None},
        {"path": "/v2/models/digits/infer", "prompt_tokens": None},
        {"path": "/v1/models"},
    ],
)
def test_these_are_nobodys_usage(log, meter, change):
    write(log, change)
    assert meter.update() == []


def test_an_answer_that_was_broken_off_is_told_apart(log, meter):
    write(log, {"prompt_tokens": None, "completion_tokens": None, "flags": "DC"})
    assert [(row.requests, row.untold, row.seconds) for row in meter.update()] == [(1, 1, 1.5)]


def test_nothing_is_counted_twice_and_nothing_lost_when_the_log_is_rotated(log, meter):
    write(log, {})
    meter.update()
    write(log, {})
    log.rename(log.with_name(f"{log.name}.1"))
    write(log, {})
    assert [row.requests for row in meter.update()] == [3]
    log.with_name(f"{log.name}.1").unlink()
    assert [row.requests for row in Meter(log, log.parents[1] / "usage.json").update()] == [3]


def test_a_spoilt_table_is_named(log, meter, tmp_path):
    (tmp_path / "usage.json").write_text("{}")
    with pytest.raises(ComponentError, match=r"usage\.json"):
        meter.update()


def test_a_cost_is_the_servers_time_at_the_instances_price():
    hour = Usage("2026-11-21", "demo", "chat", seconds=3600)
    assert hour.cost_usd(instance("g4dn.xlarge")) == pytest.approx(0.53)
    assert hour.cost_usd(instance("p5.48xlarge")) == pytest.approx(98.32)
    with pytest.raises(InputError, match="no price of 'cheap'"):
        instance("cheap")


def test_the_table_is_printed_with_sums(log, meter, capsys):
    write(log, {}, {"client": "other", "upstream_us": 3_600_000_000})
    assert main(["usage"]) == 0
    heading, *rows, sums, priced = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["day", "(UTC)", "client"]
    assert [row.split() for row in rows] == [
        ["2026-11-21", "demo", "chat", "1", "12", "5", "0", "1.5", "0.0002"],
        ["2026-11-21", "other", "chat", "1", "12", "5", "0", "3600.0", "0.5300"],
    ]
    assert sums.split() == ["all", "2", "24", "10", "0", "3601.5", "0.5302"]
    assert "g4dn.xlarge (T4 16G), 0.53 USD" in priced


def test_rows_are_chosen(log, meter, capsys):
    write(log, {}, {"client": "other"}, {"time": NEXT_DAY})
    assert main(["usage", "--json", "--since", "2026-11-22"]) == 0
    assert [row["day"] for row in json.loads(capsys.readouterr().out)] == ["2026-11-22"]
    assert main(["usage", "--json", "--client", "other", "--model", "chat"]) == 0
    assert [row["client"] for row in json.loads(capsys.readouterr().out)] == ["other"]


def test_an_unknown_instance_is_refused_with_the_known_ones(log, capsys):
    assert main(["usage", "--instance", "cheap"]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in INSTANCES)
