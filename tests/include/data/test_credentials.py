"""Passwords and keys by their looks: what is masked, and what only sounds alike."""

import pytest

from include.data.credentials import masked


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("use Bearer sk-abcdefghij1234567890 here", "use Bearer [credentials] here"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [credentials]"),
        ("curl -H 'x-api-key: ud_0123456789'", "curl -H 'x-api-key: [credentials]'"),
        ("sk-proj-abcdefghijklmnop.", "[credentials]."),
        ("ghp_abcdefghijklmnopqrst and hf_abcdefghijklmnopqrstu", "[credentials] and [credentials]"),
        ('{"password": "hunter22", "user": "x"}', '{"password": "[credentials]", "user": "x"}'),
        ("postgres://me:pw@host/db", "postgres://me:[credentials]@host/db"),
        ("AKIAABCDEFGHIJKLMNOP", "[credentials]"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.abc", "[credentials]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC\n\nabc=\n-----END RSA PRIVATE KEY-----", "[credentials]"),
    ],
)
def test_what_is_a_secret_is_masked_and_what_names_it_stays(text: str, left: str) -> None:
    assert masked(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "a bearer of bad news",
        "basic understanding",
        "I forgot my password today.",
        "tokens: 5000, please",
        "https://host:443/x",
        "ask-me-anything",
    ],
)
def test_what_only_sounds_like_one_stays(text: str) -> None:
    assert masked(text) == text
