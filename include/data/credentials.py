"""Passwords, keys and tokens by their looks: what a caller pasted into a chat and nobody should read again.

A pattern finds the usual forms; it can't find a password that stands by itself.
"""

from __future__ import annotations

import re

NAME = "[credentials]"
_AFTER = re.compile(
    r"(?i)(?<![\w-])(?:"
    r"(?:proxy-)?authorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?:(?:bearer|basic|digest)[ \t]{1,4})?(?=[^\s\"',;]{6})"
    r"|(?:bearer|basic)[ \t]{1,4}(?=[\w.~+/=-]{20}|(?=[\w.~+/=-]{8})[A-Za-z_.~+/-]{0,20}[\d=])"  # a header's value: no word
    r"|(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:api|access|secret|private|auth|client)[ _-]?(?:key|token|secret)|x-api-key)"
    r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?=[^\s\"',;]{6})"
    r")(?P<secret>[^\s\"',;]{1,4096}+)"
)
"""Behind a word that says what it is."""
_BY_ITSELF = re.compile(
    r"(?<![\w-])(?:"
    r"(?:sk|rk|pk)[-_][\w-]{16,256}"  # OpenAI, Anthropic, Stripe
    r"|ud_[\w-]{43}"  # this gateway's own
    r"|gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{20,64}"
    r"|hf_[A-Za-z0-9]{20,64}|xox[abeoprs]-[\w-]{10,255}|npm_\w{36}|pypi-[\w-]{16,512}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{35}|ya29\.[\w.-]{20,512}"
    r"|eyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}(?:\.[\w-]{0,2048})?"  # a JSON Web Token
    r")(?![\w-])"
)
_ADDRESS = re.compile(r"(?<=://)(?P<user>[^\s/@:]{0,128}+):(?P<secret>[^\s/@]{1,512}+)(?=@)")
"""A password in an address: scheme://user:password@host."""
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----)){0,16384}+-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")


def masked(text: str) -> str:
    """Return ``text`` with passwords, keys and tokens named instead of said; the words before them stay."""
    text = _PEM.sub(NAME, text)
    text = _ADDRESS.sub(lambda match: f"{match['user']}:{NAME}", text)
    text = _AFTER.sub(lambda match: match[0][: match.start("secret") - match.start()] + NAME, text)
    return _BY_ITSELF.sub(NAME, text)
