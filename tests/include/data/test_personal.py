"""Personal data by its looks: what is found, and what only looks alike."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.data import personal


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        (personal.emails, "Write to a.b+c@mail.co.uk, please.", ["a.b+c@mail.co.uk"]),
        (personal.emails, "joe@example.com x@y.test me@localhost user@host @app.route a@b", []),
        (personal.phones, "Call +49 170 1234567. Or not.", ["+49 170 1234567"]),
        (personal.phones, "(555) 123-4567, 555-123-4567 and +1 (415) 555-2671", ["(555) 123-4567", "555-123-4567", "+1 (415) 555-2671"]),
        (personal.phones, "0170 1234567, 030/12345678", ["0170 1234567", "030/12345678"]),
        (personal.phones, "12+34567890, 12 + 34567890, 2024-01-02, 3.14159265358979, 192.168.0.1, 1234567890", []),
        (personal.cards, "4111 1111 1111 1111 or 378282246310005", ["4111 1111 1111 1111", "378282246310005"]),
        (personal.cards, "4111 1111 1111 1112, 1234567812345670, 41111111111111111111", []),
        (personal.ibans, "DE89 3704 0044 0532 0130 00, GB82WEST12345698765432", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"]),
        (personal.ibans, "Pay to NL91 ABNA 0417 1643 00 today.", ["NL91 ABNA 0417 1643 00"]),
        (personal.ibans, "DE88 3704 0044 0532 0130 00", []),
        (personal.identities, "123-45-6789, AB123456C", ["123-45-6789", "AB123456C"]),
        (personal.identities, "RSSMRA85T10A562S, 12345678Z", ["RSSMRA85T10A562S", "12345678Z"]),
        (personal.identities, "000-12-3456, 900-12-3456, QQ123456C, 12345678A", []),
    ],
)
def test_what_is_found_and_what_only_looks_alike(find: Callable[[str], list[str]], text: str, found: list[str]) -> None:
    assert find(text) == found


def test_what_is_found_can_be_masked():
    text = "Mail a.b@mail.co.uk or +49 170 1234567, then a.b@mail.co.uk again; pay with 4111 1111 1111 1111."
    assert personal.masked(text) == "Mail [emails] or [phones], then [emails] again; pay with [cards]."


PIECES = [
    *("a.b@mail.co.uk", "x@y.de", "+49 170 1234567", "(555) 123-4567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"),
    *("123-45-6789", "12345678Z", "joe@example.com", "12345678A", "1234567890", "word", "3.14"),
]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([", ", "; ", "\n", " and "])), max_size=20))
def test_masking_in_one_pass_gives_what_replacing_each_find_gave(parts: list[tuple[str, str]]) -> None:
    text = expected = "".join(piece + gap for piece, gap in parts)
    for kind, find in personal.KINDS.items():
        for found in sorted(set(find(expected)), key=len, reverse=True):
            expected = expected.replace(found, f"[{kind}]")
    assert personal.masked(text) == expected


@given(st.text(alphabet="aZ09 @.:/+-_=,'\"\n", max_size=300))
def test_what_is_masked_has_nothing_left_to_find(text: str) -> None:
    masked = personal.masked(text)
    assert not any(find(masked) for find in personal.KINDS.values())


PARTS = [
    "+1234567890",
    "a",
    "1 ",
    "a@",
    "a.",
    "b.",
    "A1",
    " 3704",
    "0123-",
    "Bearer ",
    "token=",
    "://a:b",
    "-----BEGIN PRIVATE KEY-----",
    "eyJaaaaaaaa.",
]


def processor_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.mark.parametrize("part", PARTS)
def test_no_text_takes_long(part: str) -> None:
    text = "a@" + part * (1_000_000 // len(part))
    assert processor_s(lambda: [find(text) for find in personal.KINDS.values()] + [personal.masked(text)]) < 10


def test_a_text_full_of_different_finds_takes_no_longer_than_one_without():
    """120 kB of addresses took 2.2 s when each was replaced for itself."""
    text = " ".join(f"{number}@b.de" for number in range(12_000))
    plain = text.replace("@", "-")
    assert processor_s(lambda: personal.masked(text)) < 20 * processor_s(lambda: personal.masked(plain))
