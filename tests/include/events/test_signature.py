"""Signatures of Standard Webhooks: the example of its specification, and what is refused."""

from __future__ import annotations

import pytest

from include.events import signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_is_valid():
    assert signature.sign(signature.key_of(SECRET), ID, AT, BODY) == SIGNED


@pytest.mark.parametrize(
    ("message_id", "at", "body", "signatures"),
    [
        ("msg_other", AT, BODY, SIGNED),
        (ID, "1614265331", BODY, SIGNED),
        (ID, AT, BODY + b" ", SIGNED),
        (ID, AT, BODY, SIGNED.replace("v1", "v2")),
        (ID, AT, BODY, SIGNED[:-2]),
        (ID, AT, BODY, ""),
        (ID, AT, BODY, "é \x00"),
    ],
)
def test_anything_else_is_not(message_id: str, at: str, body: bytes, signatures: str):
    assert not signature.valid(signature.key_of(SECRET), message_id, at, body, signatures)


def test_one_of_several_is_enough_while_a_secret_is_changed():
    assert signature.valid(signature.key_of(SECRET), ID, AT, BODY, f"v1,bm9uZQ== {SIGNED}")


def test_a_plain_text_is_a_secret_too_and_a_short_one_is_none():
    assert signature.key_of("sixteen letters!") == b"sixteen letters!"
    for secret in ("", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64"):
        with pytest.raises(ValueError, match=r"shorter|base64"):
            signature.key_of(secret)


@pytest.mark.parametrize("at", ["", "x", "-1", "1e3", "１６１４２６５３３０", "99999999999999", "1614265029", "1614265631"])
def test_what_was_signed_at_another_time_is_not_fresh(at: str):
    assert not signature.fresh(at, 1614265330.0)
    assert signature.fresh("1614265330", 1614265330.0 + signature.TOLERANCE_S)
