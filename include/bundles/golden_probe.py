"""The last word on a deploy: inputs with known answers, asked through the address that callers will use.

A server can be ready and wrong (numpy 2 in Triton's Python environment: READY, and zeros for answers), so nothing gets traffic before this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from include.bundles.golden import Golden, Tolerance
from include.runtime import web
from include.verdict import Decision, Rule, Verdict

REQUEST_S = 10.0

Tensor = dict[str, Any]


def check(url: str, headers: Mapping[str, str], model: str, golden: Golden, *, max_batch_size: int = 64, timeout_s: float = 30) -> Verdict:
    """PASS when ``POST {url}/v2/models/{model}/infer`` gives the reference answers within tolerance, FAIL with the reasons otherwise.

    At most ``max_batch_size`` rows go in a request. No answer, and 5xx, are tried again for ``timeout_s`` seconds; a wrong answer is not.
    """
    deadline = time.monotonic() + timeout_s
    address = f"{url.rstrip('/')}/v2/models/{model}/infer"
    answers: dict[str, Tensor] = {}
    started = time.monotonic()
    for begin in range(0, golden.rows, max_batch_size):
        inputs = [rows(tensor, begin, begin + max_batch_size) for tensor in golden.inputs]
        outputs, problem = _ask(address, headers, inputs, deadline)
        if problem:
            return conclude(golden.rows, golden.tolerance, time.monotonic() - started, problem=problem)
        for tensor in outputs:
            answers.setdefault(tensor["name"], {"name": tensor["name"], "data": []})["data"].extend(tensor["data"])
    wrong = golden.mismatches(list(answers.values()))
    return conclude(golden.rows, golden.tolerance, time.monotonic() - started, mismatches=wrong)


def conclude(rows: int, tolerance: Tolerance, seconds: float, *, problem: str = "", mismatches: Sequence[str] = ()) -> Verdict:
    """PASS when ``rows`` golden inputs were answered (no ``problem``) and rightly (no ``mismatches``). Pure."""
    bar = f"within {tolerance.absolute:g} + {tolerance.relative:g} x reference"
    wrong = [Rule("answers", False, problem, "200")] if problem else [Rule("golden answers", False, each, bar) for each in mismatches]
    evidence = {
        "rows": rows,
        "seconds": round(seconds, 4),
        "tolerance": asdict(tolerance),
        "problem": problem,
        "mismatches": list(mismatches),
    }
    if not wrong:
        passed = Rule("golden answers", True, f"{rows} rows", bar)
        return Verdict(Decision.PASS, (f"{rows} golden inputs were answered as the reference says.",), (passed,), evidence)
    reasons = tuple(f"{rule.name}: {rule.figure} (wanted: {rule.bar})" for rule in wrong)
    return Verdict(Decision.FAIL, reasons, tuple(wrong), evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    tolerance = Tolerance(**evidence["tolerance"])
    return conclude(evidence["rows"], tolerance, evidence["seconds"], problem=evidence["problem"], mismatches=evidence["mismatches"])


def rows(tensor: Mapping[str, Any], begin: int, end: int) -> Tensor:
    """Rows ``begin`` to ``end`` of a KServe JSON tensor whose data is flat, or nested by row."""
    count = int(tensor["shape"][0])
    data = tensor["data"]
    width = len(data) // count
    end = min(end, count)
    return {**tensor, "shape": [end - begin, *tensor["shape"][1:]], "data": data[begin * width : end * width]}


def _ask(address: str, headers: Mapping[str, str], inputs: list[Tensor], deadline: float) -> tuple[list[Tensor], str]:
    """The output tensors, or what went wrong to the end."""
    body, problem = web.insist(address, headers, {"inputs": inputs}, REQUEST_S, deadline)
    if problem:
        return [], problem
    try:
        return list(json.loads(body)["outputs"]), ""
    except (ValueError, KeyError, TypeError) as error:
        return [], f"200 with an answer that is no KServe v2 response ({error!r})"
