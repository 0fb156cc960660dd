"""Personal data by its looks: e-mail addresses, phone, card, account and identity numbers, with their check digits where they have some.

A pattern finds what is written in a usual form; it can't find names or addresses, and a hit is a reason to look, no proof.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from include.data import credentials

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@((?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24})(?![\w-])")
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w+.-])(?:"
    r"\+[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}+\)?){2,6}+"  # international: +49 170 1234567
    r"|(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}"  # North America: (555) 123-4567
    r"|0\d{2,4}[ /-]\d{3,8}(?:[ -]\d{2,8}){0,3}"  # elsewhere: 0170 1234567
    r")(?![\w-])"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|5\d\d)\d{12}|62\d{14,17}"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_US_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_UK_NINO = re.compile(r"(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)")
_IT_FISCAL = re.compile(r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)")
_ES_DNI = re.compile(r"(?<!\w)(\d{8})-?([A-HJ-NP-TV-Z])(?!\w)")


def _number(match: re.Match[str]) -> bool:
    return 9 <= len(_digits(match[0])) <= 15


def _card(match: re.Match[str]) -> bool:
    digits = _digits(match[0])
    return bool(_ISSUERS.fullmatch(digits)) and _luhn(digits)


def _account(match: re.Match[str]) -> bool:
    return _iban(match[0].replace(" ", ""))


def _any(match: re.Match[str]) -> bool:
    return True


_Form = tuple[re.Pattern[str], Callable[[re.Match[str]], bool]]
_EMAILS: tuple[_Form, ...] = ((_EMAIL, lambda match: not _RESERVED.search(match[1])),)
_PHONES: tuple[_Form, ...] = ((_PHONE, _number),)
_CARDS: tuple[_Form, ...] = ((_CARD, _card),)
_IBANS: tuple[_Form, ...] = ((_IBAN, _account),)
_IDENTITIES: tuple[_Form, ...] = (
    (_US_SSN, _any),
    (_UK_NINO, _any),
    (_IT_FISCAL, _any),
    (_ES_DNI, lambda match: "TRWAGMYFPDXBNJZSQVHLCKE"[int(match[1]) % 23] == match[2]),
)


def emails(text: str) -> list[str]:
    """Find e-mail addresses, but for those of the domains reserved for examples (RFC 2606)."""
    return _found(_EMAILS, text)


def phones(text: str) -> list[str]:
    """Find phone numbers: with a country's code, in groups as in North America, or with a leading zero; 9 to 15 digits."""
    return _found(_PHONES, text)


def cards(text: str) -> list[str]:
    """Find payment cards: an issuer's prefix and length, and the check digit (Luhn, ISO/IEC 7812-1)."""
    return _found(_CARDS, text)


def ibans(text: str) -> list[str]:
    """Find bank accounts whose check digits are right (ISO 13616, modulo 97)."""
    return _found(_IBANS, text)


def identities(text: str) -> list[str]:
    """Find national identity numbers of the USA, the United Kingdom, Italy and Spain (with its check letter)."""
    return _found(_IDENTITIES, text)


def masked(text: str) -> str:
    """Return ``text`` with what looks like personal data, a password or a key named instead of said: ``[emails]``, ``[credentials]``.

    Takes time in proportion to the text's length, whatever is in it.
    """
    text = credentials.masked(text)
    for kind, forms in _FORMS.items():
        for pattern, accepted in forms:
            text = pattern.sub(lambda match, name=f"[{kind}]", good=accepted: name if good(match) else match[0], text)  # type: ignore[misc]
    return text


KINDS: dict[str, Callable[[str], list[str]]] = {
    "emails": emails,
    "phones": phones,
    "cards": cards,
    "ibans": ibans,
    "identities": identities,
}
"""Each kind's column in the chats' profile, and how it is found."""
_FORMS = dict(zip(KINDS, (_EMAILS, _PHONES, _CARDS, _IBANS, _IDENTITIES), strict=True))


def _found(forms: tuple[_Form, ...], text: str) -> list[str]:
    return [match[0] for pattern, accepted in forms for match in pattern.finditer(text) if accepted(match)]


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def _iban(text: str) -> bool:
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1
