"""How well a served model answers: its exact match on the held-out chats, and their perplexity, by the server's own figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from include.gates import chat

AT_ONCE = 8


@dataclass(frozen=True)
class Server:
    """A served model, asked directly."""

    url: str
    model: str
    headers: Mapping[str, str]


def exact_match(server: Server, asked: dict[str, Any]) -> float:
    """The share of the held-out prompts whose greedy answer ends and is the reference."""

    def right(prompt: list[dict[str, str]], reference: str) -> bool:
        body = {"model": server.model, "messages": prompt, "max_tokens": asked["max_tokens"], "temperature": 0}
        choice = _post(server, "/v1/chat/completions", body)["choices"][0]
        return choice["finish_reason"] == "stop" and chat.matches(choice["message"]["content"] or "", reference)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(right, asked["prompts"], asked["answers"]))
    return sum(found) / len(found)


def perplexity(server: Server, backend: str, asked: dict[str, Any]) -> float:
    """Of the reference answers, with the tokens that end them."""

    def cost(pair: Sequence[list[int]]) -> float:
        prompt, answer = pair
        if backend == "vllm":
            return _vllm(server, prompt, answer)
        return sum(_llamacpp(server, prompt + answer[:at], token, asked["vocabulary"]) for at, token in enumerate(answer))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        costs = list(pool.map(cost, asked["ids"]))
    return math.exp(sum(costs) / sum(len(answer) for _, answer in asked["ids"]))


def _vllm(server: Server, prompt: list[int], answer: list[int]) -> float:
    """Nats that the answer's tokens cost: vLLM tells the log probability of each token of a prompt."""
    body = {"model": server.model, "prompt": prompt + answer, "max_tokens": 1, "prompt_logprobs": 0}
    told = _post(server, "/v1/completions", body)["choices"][0]["prompt_logprobs"][len(prompt) :]
    return -sum(float(one[str(token)]["logprob"]) for one, token in zip(told, answer, strict=True))


def _llamacpp(server: Server, before: list[int], token: int, vocabulary: int) -> float:
    """Nats that one token costs: llama.cpp tells the probabilities of what it would write next."""
    body = {"prompt": before, "n_predict": 1, "n_probs": vocabulary, "temperature": 0, "cache_prompt": True}
    (told,) = _post(server, "/completion", body)["completion_probabilities"]
    return -next(float(one["logprob"]) for one in told["top_logprobs"] if one["id"] == token)


def _post(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(server.url + path, json=body, headers=dict(server.headers), timeout=120)
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found
