"""Tasks of EleutherAI's lm-evaluation-harness, given as files in the model's folder, asked of the trained model. Nothing is fetched.

Prompts are put into the model's chat template: it is a chat model that is judged. The harness's own standard error makes the interval.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import yaml

from include.errors import InputError
from include.gates.evaluation import Score
from include.kinds.llm.answers import Model
from include.spec.llm import LlmSpec

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

ANSWER_TOKENS = 256
"""An answer's limit where its task sets none."""
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
METHOD = "normal, from the harness's standard error"


def scores(model: Model, spec: LlmSpec, folder: Path, out: Path) -> dict[str, Score]:
    """``<task>/<metric>`` → score, of all tasks that the spec names; none when it names none. ``out`` keeps the data sets' cache."""
    found: dict[str, Score] = {}
    for path in spec.evaluate.harness:
        found |= _task(model, model.context(spec), folder / path, path, out, spec.gate.confidence)
    return found


def _task(model: Model, context: int, file: Path, given: str, out: Path, confidence: float) -> dict[str, Score]:
    where = f"evaluate.harness: {given}"
    name = task_name(file, where)
    _stay_offline(out / "datasets")
    with contextlib.chdir(file.parent):
        import lm_eval
        from lm_eval.tasks import TaskManager

        try:
            # All other tasks stay out: theirs would have to be fetched.
            tasks = TaskManager(include_path=str(file.parent), include_defaults=False)
            done: Any = lm_eval.simple_evaluate(
                _adapter(model, context, where), tasks=[name], task_manager=tasks, apply_chat_template=True, log_samples=False
            )
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError, ConnectionError, ImportError) as error:
            remedy = "Run it with `lm_eval --include_path <folder> --tasks <name>` to see more."
            raise InputError(f"task {name} can't be run: {type(error).__name__}: {error}", where=where, remedy=remedy) from error
    return {f"{task}/{metric}": score for task, results in done["results"].items() for metric, score in _scores(results, confidence)}


def task_name(file: Path, where: str) -> str:
    """The task's name in a file; an InputError at ``where`` when it is none."""
    try:
        # A task may name functions (`!function module.name`), which only the harness resolves.
        lines = yaml.compose(file.read_text())
        fields = {key.value: value for key, value in lines.value} if isinstance(lines, yaml.MappingNode) else {}
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise InputError(f"can't be read as YAML: {error}", where=where) from None
    name = fields.get("task")
    if not isinstance(name, yaml.ScalarNode) or not name.value:
        remedy = "It begins with `task: <name>`: see lm-evaluation-harness's guide to new tasks."
        raise InputError("is no task of lm-evaluation-harness.", where=where, remedy=remedy)
    return str(name.value)


def _scores(results: dict[str, Any], confidence: float) -> Iterator[tuple[str, Score]]:
    """Out of the harness's ``{"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "…"}``."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    for key, value in results.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        error = results.get(f"{metric}_stderr,{filtered}")
        name = metric if filtered == "none" else f"{metric}/{filtered}"
        if isinstance(error, int | float) and math.isfinite(error):
            yield name, Score(float(value), float(value - z * error), float(value + z * error), METHOD)
        else:
            yield name, Score(float(value), method="the harness has no interval for it")


def _stay_offline(cache: Path) -> None:
    """Nothing is fetched from now on. Libraries that were imported before have read the environment: they are told themselves."""
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    import datasets
    import huggingface_hub

    huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    datasets.config.HF_DATASETS_CACHE = str(cache)


def _adapter(model: Model, context: int, where: str) -> Any:
    """The model as the harness asks it."""
    from lm_eval.api.model import TemplateLM

    class Adapter(TemplateLM):  # type: ignore[misc]
        tokenizer_name = "own"

        @property
        def eot_token_id(self) -> int:
            return int(model.tokenizer.eos_token_id)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **more: Any) -> list[int]:
            return model.ids([string])[0]

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            template = model.tokenizer.apply_chat_template
            return str(template(chat_history, tokenize=False, add_generation_prompt=add_generation_prompt))

        def _loglikelihood_tokens(self, requests: Sequence[Any], **more: Any) -> list[tuple[float, bool]]:
            pairs = [(before or [self.eot_token_id], tokens) for _, before, tokens in requests]
            self._fits(max((len(before) + len(tokens) for before, tokens in pairs), default=0))
            return [(-cost, greedy) for cost, greedy in model.costs(pairs)]

        def loglikelihood_rolling(self, requests: list[Instance], **more: Any) -> list[float]:
            texts = [self.tok_encode(request.args[0]) for request in requests]
            return [value for value, _ in self._loglikelihood_tokens([(None, None, tokens) for tokens in texts])]

        def generate_until(self, requests: list[Instance], **more: Any) -> list[str]:
            asked = [_asked(request, where) for request in requests]
            lengths = [len(ids) for ids in model.ids([text for text, _, _ in asked])]
            self._fits(max(lengths, default=0) + 1)
            rooms = [min(limit, context - length) for (_, _, limit), length in zip(asked, lengths, strict=True)]
            said = model.complete([text for text, _, _ in asked], rooms)
            return [_before(one.text, until) for one, (_, until, _) in zip(said, asked, strict=True)]

        def _fits(self, tokens: int) -> None:
            if tokens > context:
                remedy = "Shorten it, or give fewer examples."
                raise InputError(f"a prompt has {tokens} tokens, and a conversation {context} at most.", where=where, remedy=remedy)

    return Adapter()


def _asked(request: Instance, where: str) -> tuple[str, list[str], int]:
    """Text, where the answer ends, and its tokens at most."""
    text, options = request.args
    if options.get("do_sample") and options.get("temperature", 1.0) > 0:
        raise InputError("asks for sampled answers.", where=where, remedy="Set `generation_kwargs: {do_sample: false}`.")
    until = options.get("until") or []
    return text, [until] if isinstance(until, str) else list(until), int(options.get("max_gen_toks", ANSWER_TOKENS))


def _before(text: str, ends: Sequence[str]) -> str:
    for end in ends:
        if end:
            text = text.split(end, 1)[0]
    return text
