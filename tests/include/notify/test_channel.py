"""Channels, told by real receivers; and the template."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import ComponentError, InputError
from include.notify.channel import Channel, Connection
from include.notify.notice import Notice, What, rendered
from tests.include.notify import receivers
from tests.ports import free_port

FACTS = {"what": "alarm", "model": "digits"}
MAIL = {"from": "updraft@example.org", "to": ["anna@example.org", "olaf@example.org"]}
HOOK = Connection("updraft_notify_hook", "http", "http://127.0.0.1", extra={"path": "/told"})


def test_a_webhook_is_told_with_its_token_and_the_notices_key():
    with receivers.web() as web:
        Channel.of(replace(HOOK, port=web.port, password="hooks-token")).send("k1", "A title", "A text", FACTS)
    ((path, headers, body),) = web.got
    assert path == "/told" and headers["authorization"] == "Bearer hooks-token" and headers["idempotency-key"] == "k1"
    assert body == {**FACTS, "key": "k1", "title": "A title", "text": "A text"}


def test_slack_is_told_in_its_own_words_at_its_secret_address():
    with receivers.web() as web:
        slack = Connection("updraft_notify_slack", "slackwebhook", f"http://127.0.0.1:{web.port}/services", password="T0/B0/xyz")
        Channel.of(slack).send("k1", "a <b> & c", "text", FACTS)
    ((path, _, body),) = web.got
    assert path == "/services/T0/B0/xyz" and body == {"text": "*a &lt;b&gt; &amp; c*\ntext"}


def test_a_mail_arrives_whole_at_everybody():
    with receivers.mailbox() as mailbox:
        mail = Connection("updraft_notify_mail", "smtp", "127.0.0.1", mailbox.port, extra=MAIL)
        Channel.of(mail).send("k1", "digits: schlecht ä", "first\n.\nlast ü", FACTS)
    ((to, message),) = mailbox.got
    assert to == MAIL["to"] and message["Subject"] == "digits: schlecht ä" and message["Message-ID"] == "<k1@updraft>"
    assert message.get_content().strip().splitlines() == ["first", ".", "last ü"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_taken_is_an_error_without_the_secret(status: int):
    with receivers.web() as web, pytest.raises(ComponentError) as failed:
        web.status = status
        slack = Connection("updraft_notify_slack", "slack", f"http://127.0.0.1:{web.port}", password="T0/B0/xyz")
        Channel.of(slack).send("k1", "t", "t", FACTS)
    assert str(status) in str(failed.value) and "xyz" not in str(failed.value)


def test_a_receiver_that_is_away_or_refuses_is_an_error_without_the_secret():
    slack = Connection("updraft_notify_slack", "slack", f"http://127.0.0.1:{free_port()}", password="T0/B0/xyz")
    with receivers.mailbox() as mailbox:
        mailbox.refuses = True
        mail = Connection("updraft_notify_mail", "smtp", "127.0.0.1", mailbox.port, extra=MAIL)
        for one in (slack, mail):
            with pytest.raises(ComponentError) as failed:
                Channel.of(one).send("k1", "t", "t", FACTS)
            assert one.name in str(failed.value) and "xyz" not in str(failed.value)
    assert not mailbox.got


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"kind": "mysql"}, "type"),
        ({"host": ""}, "host"),
        ({"host": "example.org"}, "host"),
        ({"extra": {"what": ["rumours"]}}, "extra.what"),
        ({"extra": {"quiet": "25:00-07:00"}}, "extra.quiet"),
        ({"extra": {"zone": "Europe/Nowhere"}}, "extra.zone"),
        ({"kind": "smtp"}, "extra"),
    ],
)
def test_a_wrong_connection_is_named_with_the_field(changed: dict[str, Any], field: str):
    with pytest.raises(InputError) as refused:
        Channel.of(replace(HOOK, **changed))
    assert str(refused.value).startswith(f"connection updraft_notify_hook: {field}:")


def test_a_channel_is_told_what_it_wants():
    channel = Channel.of(replace(HOOK, extra={"what": "alarm, failure", "models": ["digits"]}))
    assert channel.wants(What.ALARM, "digits") and channel.wants(What.ALARM, "") and channel.wants(What.HELLO, "")
    assert not channel.wants(What.VERDICT, "digits") and not channel.wants(What.ALARM, "diabetes")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-07-01T12:00", "2026-07-01T12:00"),
        ("2026-07-01T20:30", "2026-07-02T05:00"),
        ("2026-07-02T04:59", "2026-07-02T05:00"),
        ("2026-07-02T05:00", "2026-07-02T05:00"),
    ],
)
def test_quiet_hours_are_those_of_the_channels_zone(now: str, until: str):
    channel = Channel.of(replace(HOOK, extra={"quiet": "22:00-07:00", "zone": "Europe/Berlin"}))
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert channel.allowed_from(at, urgent=False) == datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert channel.allowed_from(at, urgent=True) == at


def test_quiet_hours_within_a_day():
    channel = Channel.of(replace(HOOK, extra={"quiet": "12:00-13:00"}))
    at = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
    assert channel.allowed_from(at, urgent=False) == datetime(2026, 7, 1, 13, tzinfo=UTC)


def test_the_template_has_a_link_and_no_secret():
    text = "postgres://anna:hidden@db failed; token=abcdefgh, password: 'hunter22' the-platforms-own-secret " + "x" * 5000
    notice = Notice("k", What.FAILURE, "digits", "digits_lifecycle\nhas failed", text, "/dags/d/runs/r")
    title, body = rendered(notice, "http://airflow/", ["the-platforms-own-secret", "short"])
    assert title == "digits_lifecycle has failed" and body.endswith("\n\nhttp://airflow/dags/d/runs/r") and len(body) < 4100
    for secret in ("hidden", "abcdefgh", "hunter22", "the-platforms-own-secret"):
        assert secret not in body
    assert "postgres://anna:***@db failed" in body


def test_a_long_text_costs_little():
    """Its time grew with the square of a word's length: an hour for what a failed task may say."""
    title, text = rendered(Notice("k", What.FAILURE, "m", "t", "a" * 1_000_000, "p"), "http://ui")
    assert title == "t" and len(text) < 4100


def test_no_half_of_a_secret_is_left_where_a_long_text_is_cut():
    secret = "s3cret-of-the-platform"
    _, text = rendered(Notice("k", What.FAILURE, "m", "t", "http://a:" + "x" * 7970 + "@b " + secret * 9, "p"), "http://ui", [secret])
    assert "s3cret" not in text
