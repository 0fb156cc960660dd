"""``make bench-llm``: tinychat on llama.cpp and on vLLM, in 16 bits and quantised: start, first token, further tokens, tokens a second, at
1, 4 and 16 streams, asked directly and through the gateway, in turn; beside each its perplexity and its exact match."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bench.llm import quality
from bench.llm.prepare import FORMS
from bench.llm.streams import Seen, run
from bench.serving.stage import BenchPlatform, bench_platform
from include.backends.registry import serve_of
from include.runtime.revision_key import key_headers
from include.spec.serve import LLM

MODEL = "bench"
ROUNDS = 6
RUNTIMES = {"llamacpp": ("llm",), "vllm": ("vllm", "quantise")}
PREPARE = Path(__file__).with_name("prepare.py")
Backend = Literal["llamacpp", "vllm"]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-llm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each measured stretch; the two ways take turns")
    parser.add_argument("--backends", nargs="+", choices=tuple(RUNTIMES), default=list(RUNTIMES))
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4, 16])
    options = parser.parse_args()
    with bench_platform(digits=False) as platform:
        backends = [backend for backend in options.backends if installed(platform, backend)]
        folder = platform.settings.home / "llm"
        folder.mkdir()
        say("training tinychat")
        prepare(platform, "llm", folder, "trained")
        if "vllm" in backends:
            say("quantising it for vLLM")
            prepare(platform, "quantise", folder, "quantised")
        asked = json.loads((folder / "asked.json").read_text())
        rows = []
        for backend in backends:
            for form in FORMS[backend]:
                say(f"{backend}, {form}")
                rows += measure(platform, folder / f"{backend}-{form}", backend, form, asked, options.streams, options.seconds)
    report(rows, asked["perplexity"])


def installed(platform: BenchPlatform, backend: str) -> bool:
    """Whether this machine has what the backend needs; said when not."""
    missing = [runtime for runtime in RUNTIMES[backend] if not platform.settings.python(runtime).exists()]
    if missing:
        say(f"{backend} is left out: make " + " ".join(f"install-{runtime}" for runtime in missing))
    return not missing


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def prepare(platform: BenchPlatform, runtime: str, folder: Path, part: str) -> None:
    settings = platform.settings
    environment = os.environ | {"PYTHONPATH": str(settings.repo), "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [str(settings.python(runtime)), str(PREPARE), str(folder), part]
    done = subprocess.run(command, env=environment, cwd=settings.repo, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def measure(
    platform: BenchPlatform, bundle: Path, backend: Backend, form: str, asked: Row, streams: Sequence[int], seconds: float
) -> list[Row]:
    """A row for each number of streams: medians of both ways, and what the gateway costs (median of the rounds)."""
    started = time.perf_counter()
    serve = serve_of(LLM, backend).model_validate({"context": asked["context"], "parallel": max(streams)})
    revision = platform.backend.start(bundle, MODEL, "1", serve)
    known: Row = {"backend": backend, "form": form, "start_s": time.perf_counter() - started}
    known["size_bytes"] = sum(file.stat().st_size for pattern in ("*.gguf", "model/*.safetensors") for file in bundle.glob(pattern))
    direct = quality.Server(revision.url, MODEL, key_headers(platform.settings, revision.name))
    known["exact_match"] = quality.exact_match(direct, asked)
    known["perplexity"] = quality.perplexity(direct, backend, asked)
    platform.gateway.add_revision(revision.endpoint())
    platform.gateway.set_split(MODEL, {"1": 100})
    rows = [known | {"streams": count} | stretch(platform, direct, asked["prompts"], count, seconds) for count in streams]
    platform.gateway.retire(MODEL)
    platform.backend.stop(revision)
    return rows


def stretch(platform: BenchPlatform, direct: quality.Server, prompts: Sequence[Any], streams: int, seconds: float) -> Row:
    """Both ways in turn, ``ROUNDS`` times after a round that warms up."""
    ways = {"direct": (direct.url, direct.headers), "gateway": (platform.settings.gateway_url, {"x-api-key": platform.key})}
    seen = {way: Seen() for way in ways}
    costs, later = [], []
    for turn in range(ROUNDS + 1):
        parts = {way: run(*ways[way], MODEL, prompts, streams, seconds) for way in (ways if turn % 2 else reversed(ways))}
        if turn:
            costs.append(100 * (1 - parts["gateway"].tokens_per_s / parts["direct"].tokens_per_s))
            later.append(parts["gateway"].medians()[0] - parts["direct"].medians()[0])
            for way, part in parts.items():
                seen[way].add(part)
    row: Row = {"gateway_cost_pct": statistics.median(costs), "gateway_later_ms": statistics.median(later)}
    for way, all_ in seen.items():
        ttft, tpot = all_.medians()
        row |= {f"{way}_ttft_ms": ttft, f"{way}_tpot_ms": tpot, f"{way}_tokens_per_s": all_.tokens_per_s}
    return row


COLUMNS = {
    "server": lambda row: row["backend"],
    "form": lambda row: row["form"],
    "MB": lambda row: f"{row['size_bytes'] / 1e6:.2f}",
    "exact match": lambda row: f"{row['exact_match']:.3f}",
    "perplexity": lambda row: f"{row['perplexity']:.3f}",
    "start s": lambda row: f"{row['start_s']:.1f}",
    "streams": lambda row: str(row["streams"]),
    "TTFT ms": lambda row: f"{row['direct_ttft_ms']:.1f}",
    "TPOT ms": lambda row: f"{row['direct_tpot_ms']:.2f}",
    "tokens/s": lambda row: f"{row['direct_tokens_per_s']:.0f}",
    "gateway: TTFT +ms": lambda row: f"{row['gateway_later_ms']:+.2f}",
    "tokens/s -%": lambda row: f"{row['gateway_cost_pct']:+.1f}",
}


def report(rows: Sequence[Row], perplexity: float) -> None:
    print(f"\ntinychat, {os.cpu_count()} cores (client included); perplexity of the trained model {perplexity:.3f}\n")
    print("".join(f"{head:>{max(9, len(head) + 2)}}" for head in COLUMNS))
    for row in rows:
        print("".join(f"{cell(row):>{max(9, len(head) + 2)}}" for head, cell in COLUMNS.items()))
    print(json.dumps({"perplexity": perplexity, "rows": list(rows)}))


if __name__ == "__main__":
    main()
