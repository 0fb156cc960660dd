"""Language models that answer chats: fine-tuned, quantised, served with OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include.canary.plan import ChatPlan, TrialPlan
from include.kinds.kind import Kind, data_files
from include.kinds.llm import faults, files
from include.monitoring.looks import Looks
from include.spec.files import is_entry
from include.spec.llm import LlmCanary, LlmSpec
from include.spec.names import BASE_MODEL

if TYPE_CHECKING:
    from include.batch.form import BatchForm
    from include.spec.document import Fault
    from include.spec.serve import Serve
    from include.verdict import Verdict


class LanguageModel(Kind):
    """``kind: llm``."""

    name = "llm"
    spec = LlmSpec
    files = "JSON Lines"
    artifacts: ClassVar = {"evaluation": "evaluation.json", "judgement": "judgement.json", "optimization": "bundle/optimization.json"}

    def faults(self, spec: LlmSpec) -> Iterator[Fault]:
        return faults.faults(spec)

    def file_faults(self, spec: LlmSpec, folder: Path) -> Iterator[Fault]:
        return files.faults(spec, folder)

    def run_params(self, spec: LlmSpec) -> dict[str, dict[str, Any]]:
        base = {
            "type": ["null", "string"],
            "default": None,
            "title": "Base model",
            "description": "What this run fine-tunes, written as in the spec's `base`. Empty: the spec's own base.",
            "maxLength": 400,
            "section": "Run",
        }
        return {BASE_MODEL: base}

    def overridden(self, values: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        return values | ({"base": params[BASE_MODEL]} if params.get(BASE_MODEL) else {})

    def tasks(self, spec: LlmSpec) -> frozenset[str]:
        wanted = {"base": True, "batch": True, "judge": spec.evaluate.judge is not None, "load_test": bool(spec.load_test.rates)}
        wanted["monitoring"] = spec.monitor.log.share > 0
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)

    def batch(self, spec: LlmSpec) -> BatchForm:
        from include.batch.prompts import Prompts

        return Prompts()

    def runtimes(self, step: str, spec: LlmSpec) -> tuple[str, ...]:
        """The forms that a server takes may be made in an environment of their own."""
        quantising = spec.serve.runtime_of_forms(spec.quantizations) if step == "optimize" else ""
        return (quantising or spec.train.runtime,)

    def bases(self, spec: LlmSpec) -> tuple[str, ...]:
        return tuple(name for name in (spec.base, spec.train.teacher) if name)

    def sources(self, step: str, spec: LlmSpec, folder: Path, params: Mapping[str, Any]) -> tuple[Path, ...]:
        """The bases, for ``base``; what tasks of lm-evaluation-harness read, for ``evaluate``."""
        if step == "base":
            return tuple(found for name in self.bases(spec) if not is_entry(name) and (found := folder / name).is_dir())
        if step == "evaluate" and spec.evaluate.harness:
            return data_files(folder)
        return super().sources(step, spec, folder, params)

    def check_data(self, extracted: Mapping[str, str], spec: LlmSpec, folder: Path, docs: Path) -> Verdict:
        """Chats are judged by their profile, and by built-in expectations as well."""
        from include.data import chat_profile

        return chat_profile.check(Path(extracted["profile"]), spec.data, folder, docs, name=spec.name)

    def probe(self, url: str, headers: Mapping[str, str], model: str, bundle: Path, serve: Serve) -> Verdict:
        from include.bundles import chat_golden
        from include.bundles.chat import ChatBundle

        return chat_golden.check(url, dict(headers), model, ChatBundle.read(bundle).golden)

    def label_fault(self, spec: Any, label: Any, answer: Any) -> str:
        return ""  # a mark, thumbs up or down, or the answer that would have been right

    def looks(self, spec: LlmSpec, folder: Path) -> Looks:
        """By lengths and forms of what is said; the expectations are about the chats that the model learns from."""
        from include.monitoring import chats

        left_out = frozenset((*spec.monitor.log.redact, *spec.monitor.log.hash))
        rows, wanted = partial(chats.rows, hidden=left_out), spec.monitor
        return Looks(chats.hidden_columns(left_out), None, rows, chats.labels, wanted.embedder, wanted.judged)

    def trial_plan(self, canary: Any) -> TrialPlan:
        return TrialPlan.from_spec(canary, ChatPlan.from_spec(canary))

    def questions(self, canary: LlmCanary) -> tuple[int, float]:
        return canary.quality_prompts, canary.quality_share
