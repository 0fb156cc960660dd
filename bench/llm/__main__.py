"""``make bench-llm``: tinychat on llama.cpp, in 16 bits and quantised: start, first token, further tokens, tokens a second, at 1, 4 and 16
streams, asked directly and through the gateway, in turn; with its perplexity and its score."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.llm.streams import Seen, run
from bench.serving.stage import BenchPlatform, bench_platform
from include.spec.llm import LlmServe

MODEL = "bench"
STREAMS = (1, 4, 16)
ROUNDS = 6
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each measured stretch; the two ways take turns")
    options = parser.parse_args()
    with bench_platform(digits=False) as platform:
        folder = platform.settings.home / "llm"
        print("training tinychat: a minute or two", flush=True)
        prepare(platform, folder)
        facts = json.loads((folder / "forms.json").read_text())
        questions = json.loads((folder / "questions.json").read_text())
        perplexity = facts.pop("trained")["perplexity"]
        rows = [row for form, known in facts.items() for row in measure(platform, folder / form, form, known, questions, options.seconds)]
    report(rows, perplexity)


def prepare(platform: BenchPlatform, folder: Path) -> None:
    settings = platform.settings
    command = [str(settings.python("llm")), str(Path(__file__).with_name("prepare.py")), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(settings.repo), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, env=environment, cwd=settings.repo, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def measure(platform: BenchPlatform, bundle: Path, form: str, known: Row, questions: list[Any], seconds: float) -> list[Row]:
    """A row for each number of streams: medians of both ways, and what the gateway costs (median of the rounds)."""
    started = time.perf_counter()
    revision = platform.backend.start(bundle, MODEL, "1", LlmServe(context=256, parallel=max(STREAMS)))
    start_s = time.perf_counter() - started
    platform.gateway.add_revision(revision.endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    ways = {"direct": (revision.url, {}), "gateway": (platform.settings.gateway_url, {"x-api-key": platform.key})}
    rows = []
    for streams in STREAMS:
        seen = {way: Seen() for way in ways}
        costs, later = [], []
        for turn in range(ROUNDS + 1):
            parts = {}
            for way in ways if turn % 2 else reversed(ways):
                url, headers = ways[way]
                parts[way] = run(url, headers, MODEL, questions, streams, seconds)
            if turn:  # the first round warms up
                costs.append(100 * (1 - parts["gateway"].tokens_per_s / parts["direct"].tokens_per_s))
                later.append(parts["gateway"].medians()[0] - parts["direct"].medians()[0])
                for way, part in parts.items():
                    seen[way].add(part)
        row: Row = {"form": form, "streams": streams, "start_s": start_s, **known}
        for way, all_ in seen.items():
            ttft, tpot = all_.medians()
            row |= {f"{way}_ttft_ms": ttft, f"{way}_tpot_ms": tpot, f"{way}_tokens_per_s": all_.tokens_per_s}
        rows.append(row | {"gateway_cost_pct": statistics.median(costs), "gateway_later_ms": statistics.median(later)})
    platform.gateway.retire(MODEL)
    platform.backend.stop(revision)
    return rows


def report(rows: list[Row], perplexity: float) -> None:
    print(f"\ntinychat on llama.cpp, {os.cpu_count()} cores (client included); perplexity of the trained model {perplexity:.3f}\n")
    heads = ("form", "streams", "start s", "TTFT ms", "TPOT ms", "tokens/s", "gateway: TTFT +ms", "tokens/s -%", "size MB", "exact match")
    print("".join(f"{head:>{max(9, len(head) + 2)}}" for head in heads))
    for row in rows:
        cells = (
            row["form"],
            str(row["streams"]),
            f"{row['start_s']:.1f}",
            f"{row['direct_ttft_ms']:.1f}",
            f"{row['direct_tpot_ms']:.2f}",
            f"{row['direct_tokens_per_s']:.0f}",
            f"{row['gateway_later_ms']:+.2f}",
            f"{row['gateway_cost_pct']:+.1f}",
            f"{row['size_bytes'] / 1e6:.1f}",
            f"{row['exact_match']:.3f}",
        )
        print("".join(f"{cell:>{max(9, len(head) + 2)}}" for cell, head in zip(cells, heads, strict=True)))
    print(json.dumps({"perplexity": perplexity, "rows": rows}))


if __name__ == "__main__":
    main()
