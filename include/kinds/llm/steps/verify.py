"""Step `llm.verify`: keep the fastest form of the model that still answers as well, and make its bundle. Runtime `llm`.

Inputs: ``table``, ``model`` (folder), ``optimized`` (the optimize step's folder), ``mlflow_run_id``. All forms answer the held-out chats
through the server that will serve them: they are up at the same time and take turns, or one after the other where each takes a
whole GPU. Writes ``bundle/``: ``model.gguf`` or the folder ``model`` or ``adapter``, ``chat.json``,
``golden.json`` (the served form's own answers) and ``optimization.json`` (all candidates); logs sizes, memory, speeds and the bundle.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from include.backends.backend import link, link_folder
from include.backends.chat import ChatBackend, chat_backend
from include.backends.client import ChatServer, Said
from include.backends.registry import backend as registered
from include.bundles import manifest
from include.bundles import tokenizer as tokenizers
from include.bundles.adapter import is_adapter
from include.bundles.chat import ADAPTER, FOLDER, GGUF, PLAIN
from include.bundles.chat_golden import ChatGolden, Prompt
from include.data import chats
from include.data.chats import Row
from include.errors import InputError
from include.gates.evaluation import Comparison
from include.gates.metrics import score_metric
from include.gates.outcomes import Answered
from include.gates.paired import compare
from include.kinds.forms.speed import Speed, alone, compared, faster, race
from include.kinds.llm import answers
from include.kinds.llm.steps.optimize import Candidate
from include.spec.llm import LlmSpec
from include.steps.bars import Bars
from include.steps.context import StepContext
from include.steps.tracking import Tracking, tracked
from include.verdict import Decision, Rule, Verdict

BUNDLE = "bundle"
SPOKEN = 32
"""Tokens of an answer whose time is taken, whatever the model has to say."""


@dataclass(frozen=True)
class Judged:
    """A form with what was found about it; ``same``: the share of the answers that are the original's to the letter; ``memory_bytes``: what
    its server takes."""

    name: str
    size_bytes: int
    score: Comparison
    same: float
    speed: Speed
    memory_bytes: int = 0

    def accurate(self, max_score_drop: float) -> bool:
        """Whether it answers as well as the original."""
        return self.score.difference is not None and -self.score.difference <= max_score_drop

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        times = {str(size): value for size, value in self.speed.p50_us.items()}
        return asdict(self) | {"speed": asdict(self.speed) | {"p50_us": times}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Judged:
        return cls(**{**data, "score": Comparison.from_json(data["score"]), "speed": Speed.from_json(data["speed"])})


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``chosen``, ``candidates`` (table), ``bundle`` (path), ``model_uri``, ``verdict``. InputError when the server differs."""
    spec = ctx.spec(LlmSpec)
    rows = chats.table(ctx.input("table"), "eval")
    folder = ctx.input("optimized")
    files = {one.name: folder / one.file for one in (Candidate(**entry) for entry in json.loads((folder / "candidates.json").read_text()))}
    model = answers.Model.load(ctx.input("model"), normalises=_backend(spec).normalises(spec.serve))
    limits, spoken, context = answers.limits(model, rows, spec), _spoken(model, rows, spec), model.context(spec)
    original = model.answer(rows, limits)
    parameters, architecture = model.network.num_parameters(), model.network.config.architectures[0]
    tools = tokenizers.knows_tools(str(model.tokenizer.chat_template))
    del model  # the forms need the memory
    ask = Questions(rows, limits, spoken, context, spec, ctx.input("model"))
    heard, speeds = (_in_turn if _backend(spec).in_turn else _together)(files, ask)
    judged = [_judge(name, files[name], heard[name], original, rows, spec, speeds[name]) for name in files]
    verdict = decide(judged, Bars(spec.optimize.max_score_drop, spec.optimize.min_speedup), spec.serve.backend)
    chosen = str(verdict.evidence["chosen"])
    table = [_row(one, spoken, spec) for one in judged]
    bundle = ctx.out / BUNDLE
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    if files[chosen].is_dir():
        link_folder(files[chosen], bundle / (ADAPTER if is_adapter(files[chosen]) else FOLDER))
    else:
        link(files[chosen], bundle / GGUF)
    form = {"context": context, "forms": chosen, "architecture": architecture, "parameters": parameters, "tools": tools}
    (bundle / "chat.json").write_text(json.dumps(form, indent=1))
    heard[chosen].golden.save(bundle / "golden.json")
    (bundle / "optimization.json").write_text(json.dumps({"chosen": chosen, "candidates": table, "verdict": verdict.to_json()}, indent=1))
    manifest.write(bundle)
    with tracked(ctx) as tracking:
        uri = _log(tracking, bundle, table, chosen)
    print("\n".join(verdict.reasons), flush=True)
    return {"chosen": chosen, "candidates": table, "bundle": str(bundle), "model_uri": uri, "verdict": verdict.to_json()}


@dataclass(frozen=True)
class Questions:
    """What every form is asked; ``model`` is the folder of the one that was trained."""

    rows: Sequence[Row]
    limits: Sequence[int]
    spoken: int
    context: int
    spec: LlmSpec
    model: Path


@dataclass(frozen=True)
class Heard:
    """What a form said, to all held-out prompts and to the golden ones, and what its server took."""

    said: Sequence[Said]
    golden: ChatGolden
    memory_bytes: int


def _together(files: Mapping[str, Path], ask: Questions) -> tuple[dict[str, Heard], dict[str, Speed]]:
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_backend(ask.spec).asked(file, ask.spec.serve, ask.context)) for name, file in files.items()}
        heard = {name: _hear(server, ask) for name, server in servers.items()}
        pool = stack.enter_context(ThreadPoolExecutor(ask.spec.serve.parallel))
        return heard, race({name: _calls(server, pool, ask.rows, ask.spoken) for name, server in servers.items()}, _plain(files))


def _in_turn(files: Mapping[str, Path], ask: Questions) -> tuple[dict[str, Heard], dict[str, Speed]]:
    heard: dict[str, Heard] = {}
    measured = {}
    for name, file in files.items():
        print(f"{name} is started.", flush=True)
        with _backend(ask.spec).asked(file, ask.spec.serve, ask.context) as server, ThreadPoolExecutor(ask.spec.serve.parallel) as pool:
            if not heard:  # the tokenizer is the same in every form
                server.check_prompts(ask.model, [row.prompt for row in ask.rows])
            heard[name] = _hear(server, ask)
            measured[name] = alone(_calls(server, pool, ask.rows, ask.spoken))
    return heard, compared(measured, _plain(files))


def _backend(spec: LlmSpec) -> ChatBackend:
    return chat_backend(registered(spec.serve.backend))


def _hear(server: ChatServer, ask: Questions) -> Heard:
    said = answers.of_server(server, ask.rows, ask.limits)
    return Heard(said, _golden(server, ask.rows, ask.limits, ask.spec.optimize.golden_prompts), server.memory_bytes())


def _plain(forms: Iterable[str]) -> str:
    return next(name for name in forms if name in PLAIN)


def decide(judged: Sequence[Judged], limits: Bars, backend: str) -> Verdict:
    """PASS with the chosen form's name as evidence. Pure. InputError when the 16-bit form is not the model."""
    plain = next(one for one in judged if one.name in PLAIN)
    if not plain.accurate(limits.max_score_drop):
        title = chat_backend(registered(backend)).title
        raise InputError(
            f"{title} does not answer as the model does: {_score(plain)}, {plain.same:.0%} of the answers the same.",
            where="optimize",
            remedy="If close answers are many, more training makes them clearer; else allow more in optimize.max_score_drop.",
        )
    good = [one for one in judged if one is not plain and one.accurate(limits.max_score_drop) and one.speed.low >= limits.min_speedup]
    chosen = max(good, key=lambda one: one.speed.speedup) if good else plain
    slower = f"no other form answers as well and is {faster(limits.min_speedup)}"
    why = (
        f"{chosen.speed.speedup:.2f} times as fast as in 16 bits [{chosen.speed.low:.2f}, {chosen.speed.high:.2f}], and "
        f"{chosen.size_bytes / plain.size_bytes:.0%} of the size"
        if chosen is not plain
        else slower
        if len(judged) > 1
        else "it is the only form"
    )
    rules = tuple(rule for one in judged for rule in _rules(one, limits))
    evidence = {"chosen": chosen.name, "backend": backend, "bars": asdict(limits), "forms": [one.to_json() for one in judged]}
    return Verdict(Decision.PASS, (f"{chosen.name} is served: {why}.",), rules, evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    return decide([Judged.from_json(form) for form in evidence["forms"]], Bars(**evidence["bars"]), evidence["backend"])


def _rules(one: Judged, limits: Bars) -> list[Rule]:
    speed = one.speed
    detail = f"{one.score.rows} held-out chats; {one.score.method}; {one.same:.0%} of the answers the same"
    bar = f"at least {-limits.max_score_drop:+g}"
    rules = [Rule(f"{one.name}: score", one.accurate(limits.max_score_drop), _score(one), bar, detail)]
    if one.name not in PLAIN:
        figure = f"{speed.speedup:.2f} [{speed.low:.2f}, {speed.high:.2f}]"
        rules.append(Rule(f"{one.name}: speed-up", speed.low >= limits.min_speedup, figure, faster(limits.min_speedup)))
    return rules


def _score(one: Judged) -> str:
    found = one.score
    return found.figure if found.difference is None else f"{found.figure} {found.metric}"


def _judge(name: str, file: Path, heard: Heard, original: Sequence[Said], rows: Sequence[Row], spec: LlmSpec, speed: Speed) -> Judged:
    said, ours, reference = heard.said, _outcome(heard.said, rows), _outcome(original, rows)
    score = compare(score_metric(spec), ours, reference, spec.optimize.max_score_drop, spec.gate.confidence)
    same = sum(one.text == other.text for one, other in zip(said, original, strict=True)) / len(rows)
    return Judged(name, _size(file), score, same, speed, heard.memory_bytes)


def _size(form: Path) -> int:
    """Bytes of the weights."""
    return form.stat().st_size if form.is_file() else sum(path.stat().st_size for path in form.glob("*.safetensors"))


def _outcome(said: Sequence[Said], rows: Sequence[Row]) -> Answered:
    return answers.outcome(said, rows, [one.tokens for one in said])


def _spoken(model: answers.Model, rows: Sequence[Row], spec: LlmSpec) -> int:
    """Tokens of the answers whose time is taken: as many as there is room for behind the prompt."""
    longest = max(len(ids) for ids in model.ids([model.text(row.prompt) for row in rows[: spec.serve.parallel]]))
    return max(1, min(SPOKEN, model.context(spec) - longest))


def _calls(server: ChatServer, pool: ThreadPoolExecutor, rows: Sequence[Row], spoken: int) -> dict[int, Callable[[], object]]:
    """One conversation, and as many at once as are served: each of ``spoken`` tokens, so that a call is the same work for every form."""
    prompts = [rows[index % len(rows)].prompt for index in range(server.parallel)]

    def call(size: int) -> Callable[[], object]:
        return lambda: list(pool.map(lambda prompt: server.chat(prompt, spoken, ended=False), prompts[:size]))

    return {size: call(size) for size in sorted({1, server.parallel})}


def _golden(server: ChatServer, rows: Sequence[Row], limits: Sequence[int], count: int) -> ChatGolden:
    """Held-out prompts from all over the table with the served form's answers.

    They are asked alone and again together: an answer that hangs on the company its prompt is computed in proves nothing later, and is
    left out as long as others remain.
    """
    places = [index * len(rows) // min(count, len(rows)) for index in range(min(count, len(rows)))]
    chosen, most = [rows[place] for place in places], [limits[place] for place in places]
    alone = [server.chat(row.prompt, limit) for row, limit in zip(chosen, most, strict=True)]
    together = server.chats([row.prompt for row in chosen], most)
    steady = [one.text == other.text for one, other in zip(alone, together, strict=True)]
    return ChatGolden(
        tuple(
            Prompt(tuple(row.prompt), limit, said.text)
            for row, limit, said, kept in zip(chosen, most, alone, steady, strict=True)
            if kept or not any(steady)
        )
    )


def _row(one: Judged, spoken: int, spec: LlmSpec) -> dict[str, Any]:
    p50 = one.speed.p50_us
    return {
        "name": one.name,
        "available": True,
        "reason": "",
        "accurate": one.accurate(spec.optimize.max_score_drop),
        "mismatches": [],
        "same": one.same,
        "score": asdict(one.score),
        "size_bytes": one.size_bytes,
        "memory_bytes": one.memory_bytes,
        "p50_us": {str(size): value for size, value in p50.items()},
        "tokens_per_s": {str(size): size * spoken / (value / 1e6) for size, value in p50.items()},
        "speedup": [one.speed.speedup, one.speed.low, one.speed.high],
    }


def _log(tracking: Tracking, bundle: Path, table: Sequence[Mapping[str, Any]], chosen: str) -> str:
    figures: dict[str, float | None] = {}
    for row in table:
        name = row["name"]
        figures |= {f"{name}_{figure}": row[figure] for figure in ("size_bytes", "memory_bytes")}
        figures[f"{name}_speedup"] = row["speedup"][0]
        figures |= {f"{name}_p50_us_batch_{size}": value for size, value in row["p50_us"].items()}
        figures |= {f"{name}_tokens_per_s_batch_{size}": value for size, value in row["tokens_per_s"].items()}
    tracking.metrics(figures, prefix="forms/")
    tracking.tag("updraft.served_form", chosen)
    tracking.artifact(bundle, BUNDLE)
    return f"{tracking.client.get_run(tracking.run_id).info.artifact_uri}/{BUNDLE}"
