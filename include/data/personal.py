"""Personal data by its looks: e-mail addresses, phone, card, account and identity numbers, with their check digits where they have some.

A pattern finds what is written in a usual form; it can't find names or addresses, and a hit is a reason to look, no proof.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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


def emails(text: str) -> list[str]:
    """E-mail addresses, but for those of the domains reserved for examples (RFC 2606)."""
    return [match[0] for match in _EMAIL.finditer(text) if not _RESERVED.search(match[1])]


def phones(text: str) -> list[str]:
    """Phone numbers: with a country's code, in groups as in North America, or with a leading zero; 9 to 15 digits."""
    return [match[0] for match in _PHONE.finditer(text) if 9 <= len(_digits(match[0])) <= 15]


def cards(text: str) -> list[str]:
    """Payment cards: an issuer's prefix and length, and the check digit (Luhn, ISO/IEC 7812-1)."""
    return [match[0] for match in _CARD.finditer(text) if _ISSUERS.fullmatch(_digits(match[0])) and _luhn(_digits(match[0]))]


def ibans(text: str) -> list[str]:
    """Bank accounts whose check digits are right (ISO 13616, modulo 97)."""
    return [match[0] for match in _IBAN.finditer(text) if _iban(match[0].replace(" ", ""))]


def identities(text: str) -> list[str]:
    """National identity numbers of the USA, the United Kingdom, Italy and Spain (with its check letter)."""
    plain = [match[0] for pattern in (_US_SSN, _UK_NINO, _IT_FISCAL) for match in pattern.finditer(text)]
    return plain + [match[0] for match in _ES_DNI.finditer(text) if "TRWAGMYFPDXBNJZSQVHLCKE"[int(match[1]) % 23] == match[2]]


def masked(text: str) -> str:
    """``text`` with what looks like personal data named instead of said: ``[emails]``."""
    for kind, find in KINDS.items():
        for found in sorted(set(find(text)), key=len, reverse=True):
            text = text.replace(found, f"[{kind}]")
    return text


KINDS: dict[str, Callable[[str], list[str]]] = {
    "emails": emails,
    "phones": phones,
    "cards": cards,
    "ibans": ibans,
    "identities": identities,
}
"""Each kind's column in the chats' profile, and how it is found."""


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def _iban(text: str) -> bool:
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1
