"""The last word on the deploy of a language model: prompts with known answers, asked through the address that callers will use."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.runtime import web
from include.verdict import Decision, Rule, Verdict

REQUEST_S = 600.0
TIE = 0.02
"""Two tokens are as likely as each other within this (difference of natural logarithms): which comes first is then a matter of rounding."""
SHOWN = 80
Token = Mapping[str, Any]
"""One of OpenAI's ``logprobs.content``: ``bytes``, ``logprob``, ``top_logprobs``."""


@dataclass(frozen=True)
class Prompt:
    """``answer`` is what the model says to ``messages``, greedily, in at most ``max_tokens`` tokens."""

    messages: tuple[Mapping[str, str], ...]
    max_tokens: int
    answer: str


@dataclass(frozen=True)
class ChatGolden:
    """Prompts and the answers that the served model must give."""

    prompts: tuple[Prompt, ...]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1))

    @classmethod
    def read(cls, path: Path) -> ChatGolden:
        """InputError when the file holds no prompt, or none that could be asked."""
        try:
            found = json.loads(path.read_text())["prompts"]
            prompts = tuple(Prompt(tuple(each["messages"]), int(each["max_tokens"]), str(each["answer"])) for each in found)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"holds no golden prompts: {error!r}.", where=str(path), remedy="Run the verify step again.") from error
        if not prompts:
            raise InputError("holds no golden prompts.", where=str(path), remedy="Run the verify step again.")
        return cls(prompts)


def check(url: str, headers: Mapping[str, str], model: str, golden: ChatGolden, *, timeout_s: float = 120) -> Verdict:
    """PASS when ``POST {url}/v1/chat/completions`` gives the reference answers, FAIL with the reasons otherwise.

    An answer may go another way at a tie (:data:`TIE`): after it nothing is compared. No answer, and 5xx, are tried again for ``timeout_s``
    seconds; a wrong answer is not.
    """
    started = time.monotonic()
    deadline = started + timeout_s
    wrong: list[Wrong] = []
    ties, problem = 0, ""
    for number, prompt in enumerate(golden.prompts, 1):
        given, tokens, problem = _ask(f"{url.rstrip('/')}/v1/chat/completions", headers, model, prompt, deadline)
        if problem:
            break
        if given == prompt.answer:
            continue
        if is_tie(prompt.answer, tokens):
            ties += 1
        else:
            wrong.append(Wrong(number, _short(given), _short(prompt.answer)))
    return conclude(len(golden.prompts), ties, time.monotonic() - started, wrong, problem)


@dataclass(frozen=True)
class Wrong:
    """The answer to the golden prompt of this number (from 1), and the one that was wanted, both short enough to be shown."""

    number: int
    given: str
    wanted: str


def conclude(prompts: int, ties: int, seconds: float, wrong: Sequence[Wrong], problem: str = "") -> Verdict:
    """PASS when all ``prompts`` were answered (no ``problem``), and none wrongly. Pure."""
    evidence = {
        "prompts": prompts,
        "ties": ties,
        "seconds": round(seconds, 4),
        "problem": problem,
        "wrong": [asdict(each) for each in wrong],
    }
    rules = [Rule(f"golden answer {each.number}", False, each.given, each.wanted) for each in wrong]
    rules += [Rule("answers", False, problem, "200")] if problem else []
    if rules:
        reasons = tuple(f"{rule.name}: {rule.figure} (wanted: {rule.bar})" for rule in rules)
        return Verdict(Decision.FAIL, reasons, tuple(rules), evidence)
    passed = Rule("golden answers", True, f"{prompts} prompts, {ties} ties", "word for word")
    return Verdict(Decision.PASS, (f"{prompts} golden prompts were answered as the reference says.",), (passed,), evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    wrong = [Wrong(**each) for each in evidence["wrong"]]
    return conclude(evidence["prompts"], evidence["ties"], evidence["seconds"], wrong, evidence["problem"])


def is_tie(reference: str, tokens: Sequence[Token]) -> bool:
    """Whether the answer leaves the reference at a token next to which the reference's own was as likely."""
    rest = reference.encode()
    for token in tokens:
        said = bytes(token["bytes"])
        if not rest.startswith(said):
            others = [other for other in token["top_logprobs"] if other["bytes"] and rest.startswith(bytes(other["bytes"]))]
            return any(token["logprob"] - other["logprob"] <= TIE for other in others)
        rest = rest[len(said) :]
    return False


def _ask(address: str, headers: Mapping[str, str], model: str, prompt: Prompt, deadline: float) -> tuple[str, Sequence[Token], str]:
    """The answer and its tokens, or what went wrong to the end."""
    # As when the answer was recorded: what an earlier prompt left in the cache was computed in other batches.
    greedy = {"temperature": 0, "seed": 0, "cache_prompt": False, "logprobs": True, "top_logprobs": 5}
    question = {"model": model, "messages": prompt.messages, "max_tokens": prompt.max_tokens, **greedy}
    body, problem = web.insist(address, headers, question, REQUEST_S, deadline)
    if problem:
        return "", (), problem
    try:
        choice = json.loads(body)["choices"][0]
        return str(choice["message"]["content"] or ""), (choice.get("logprobs") or {}).get("content") or (), ""
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return "", (), f"200 with an answer that is no chat completion ({error!r})"


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
