"""The last word on a deploy: inputs with known answers, asked through the address that callers will use.

A server can be ready and wrong (numpy 2 in Triton's Python environment: READY, and zeros for answers), so nothing gets traffic before this.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from include.serving.bundle import Golden, Tolerance
from include.verdict import Decision, Rule, Verdict

RETRY_S = 0.2
REQUEST_S = 10.0
MAX_REASONS = 5

Tensor = dict[str, Any]


def check(url: str, headers: Mapping[str, str], model: str, golden: Golden, *, max_batch_size: int = 64, timeout_s: float = 30) -> Verdict:
    """PASS when ``POST {url}/v2/models/{model}/infer`` gives the reference answers within tolerance, FAIL with the reasons otherwise.

    At most ``max_batch_size`` rows go in a request. No answer, and 5xx, are tried again for ``timeout_s`` seconds; a wrong answer is not.
    """
    deadline = time.monotonic() + timeout_s
    address = f"{url.rstrip('/')}/v2/models/{model}/infer"
    answers: dict[str, list[Any]] = {}
    started = time.monotonic()
    for begin in range(0, golden.rows, max_batch_size):
        inputs = [rows(tensor, begin, begin + max_batch_size) for tensor in golden.inputs]
        outputs, problem = _ask(address, headers, inputs, deadline)
        if problem:
            return _verdict([Rule("answers", False, problem, "200")], golden, time.monotonic() - started)
        for tensor in outputs:
            answers.setdefault(tensor["name"], []).extend(tensor["data"])
    rules = [compare(reference, answers.get(reference["name"]), golden.tolerance) for reference in golden.outputs]
    return _verdict(rules, golden, time.monotonic() - started)


def rows(tensor: Tensor, begin: int, end: int) -> Tensor:
    """Rows ``begin`` to ``end`` of a KServe JSON tensor whose data is flat, or nested by row."""
    count = int(tensor["shape"][0])
    data = tensor["data"]
    width = len(data) // count
    end = min(end, count)
    return {**tensor, "shape": [end - begin, *tensor["shape"][1:]], "data": data[begin * width : end * width]}


def compare(reference: Tensor, answer: list[Any] | None, tolerance: Tolerance) -> Rule:
    """One output tensor against its reference; numbers within tolerance, text exactly. NaN equals NaN only."""
    import numpy as np

    name = f"output {reference['name']}"
    bar = f"{tolerance.share:.2%} within {tolerance.absolute:g} + {tolerance.relative:g} x reference"
    if answer is None:
        return Rule(name, False, "missing", bar)
    kind = object if reference["datatype"] == "BYTES" else float
    wanted, given = (np.ravel(np.asarray(data, dtype=kind)) for data in (reference["data"], answer))
    if wanted.shape != given.shape:
        return Rule(name, False, f"{given.size} elements", f"{wanted.size} elements")
    if kind is object:
        close, worst = wanted == given, ""
    else:
        close = np.isclose(given, wanted, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)
        worst = f", largest difference {float(np.max(np.abs(given - wanted))):.3g}"
    share = float(np.mean(close))
    first = "" if close.all() else f"first wrong element {int(np.argmin(close))}: {given[~close][0]} instead of {wanted[~close][0]}"
    return Rule(name, share >= tolerance.share, f"{share:.2%}{worst}", bar, first)


def _ask(address: str, headers: Mapping[str, str], inputs: list[Tensor], deadline: float) -> tuple[list[Tensor], str]:
    """The output tensors, or what went wrong to the end."""
    body = json.dumps({"inputs": inputs}).encode()
    request = urllib.request.Request(address, data=body, headers={**headers, "content-type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
                return list(json.loads(answer.read())["outputs"]), ""
        except urllib.error.HTTPError as error:
            problem, again = f"{error.code}: {_sentence(error.read())}", error.code >= 500
        except (OSError, urllib.error.URLError) as error:
            problem, again = f"no answer ({error})", True
        except (ValueError, KeyError) as error:
            problem, again = f"200 with an answer that is no KServe v2 response ({error!r})", False
        if not again or time.monotonic() > deadline:
            return [], problem
        time.sleep(RETRY_S)


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")


def _verdict(rules: list[Rule], golden: Golden, seconds: float) -> Verdict:
    wrong = [rule for rule in rules if not rule.passed]
    evidence = {"rows": golden.rows, "seconds": round(seconds, 4)}
    if not wrong:
        return Verdict(Decision.PASS, (f"{golden.rows} golden inputs were answered as the reference says.",), tuple(rules), evidence)
    reasons = tuple(f"{rule.name}: {rule.figure}, not {rule.bar}. {rule.detail}".strip() for rule in wrong[:MAX_REASONS])
    return Verdict(Decision.FAIL, reasons, tuple(rules), evidence)
