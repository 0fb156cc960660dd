"""Whether an answer is of any use: said to its end, and no refusal. Pure."""

from __future__ import annotations

import re

_OPENING = 160
"""Characters of an answer in which a refusal is looked for: it comes first."""
_REFUSAL = re.compile(
    r"\b(?:i(?:['’]m| am) (?:sorry|afraid|unable|not able)|i (?:can(?:no|['’])t|can not|won['’]t|must decline|do not feel comfortable)|"
    r"as an ai\b|my apologies|i apologi[sz]e)",
    re.IGNORECASE,
)


def refused(answer: str) -> bool:
    """Whether the answer opens as refusals in English do; a sign, no proof."""
    return _REFUSAL.search(answer[:_OPENING]) is not None


def usable(answer: str, *, ended: bool) -> bool:
    """Whether there is an answer, it came to its end, and it is no refusal."""
    return ended and bool(answer.strip()) and not refused(answer)
