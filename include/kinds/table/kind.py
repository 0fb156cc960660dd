"""Models of a table's rows: a class or a number for each row; scikit-learn, ONNX, Triton."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include.canary.plan import AnswersPlan
from include.kinds.kind import Kind
from include.kinds.table import columns, faults, files
from include.spec.schema import ModelSpec, TableCanary, Task

if TYPE_CHECKING:
    from include.gates.evaluation import Evaluation
    from include.spec.document import Fault
    from include.spec.serve import Serve
    from include.verdict import Verdict

RUNTIME = "trainer"
"""The environment of all that is done with a table and its model, besides the training itself."""
TENSORRT = "tensorrt"
"""The environment that has all of the other, and TensorRT; it is installed on demand only."""
PLANS = ("optimize", "verify")
"""Steps that have to do with TensorRT's plans where the spec names some."""


class TableModel(Kind):
    """``kind: table``, the kind of a spec that names none."""

    name = "table"
    spec = ModelSpec
    files = "CSV or Parquet"
    artifacts: ClassVar = {"evaluation": "evaluation.json", "optimization": "bundle/optimization.json"}

    def faults(self, spec: ModelSpec) -> Iterator[Fault]:
        return faults.faults(spec)

    def file_faults(self, spec: ModelSpec, folder: Path) -> Iterator[Fault]:
        return files.faults(spec, folder)

    def column_faults(self, spec: ModelSpec, folder: Path) -> Iterator[Fault]:
        return columns.faults(spec, folder)

    def read_as(self, spec: ModelSpec) -> str:
        settings = spec.data.csv.model_dump(exclude_defaults=True)
        said = ", ".join(
            f"{name} {', '.join(value) if isinstance(value, dict | tuple | list) else repr(value)}" for name, value in settings.items()
        )
        return f"A CSV is read with {said}." if said else "A CSV is read as UTF-8, with commas between fields and points before decimals."

    def runtimes(self, step: str, spec: ModelSpec) -> tuple[str, ...]:
        """Plans are built in TensorRT's environment, and without it the others are, unless the spec insists."""
        if step == "train":
            return (spec.train.runtime,)
        if step not in PLANS or not _plans(spec) or spec.optimize.resources is None:
            return (RUNTIME,)
        return (TENSORRT,) if spec.optimize.tensorrt.required else (TENSORRT, RUNTIME)

    def gpu_is_optional(self, step: str, spec: ModelSpec) -> bool:
        return step in PLANS and _plans(spec) and not spec.optimize.tensorrt.required

    def tasks(self, spec: ModelSpec) -> frozenset[str]:
        return frozenset({"monitoring"} if spec.monitor.log.share > 0 else ())

    def check_data(self, extracted: Mapping[str, Any], spec: ModelSpec, folder: Path, docs: Path) -> Verdict:
        from include.data.validate import validate

        return validate(
            Path(extracted["table"]),
            folder / spec.data.expectations,
            docs,
            name=spec.name,
            target=spec.data.target,
            csv=spec.data.csv,
            notes=extracted.get("notes", ()),
        )

    def probe(self, url: str, headers: Mapping[str, str], model: str, bundle: Path, serve: Serve) -> Verdict:
        from include.bundles import golden_probe
        from include.bundles.table import Bundle

        return golden_probe.check(url, dict(headers), model, Bundle.read(bundle).golden, max_batch_size=serve.at_once)

    def answers_plan(self, canary: TableCanary, evaluation: Evaluation | None, champion: str) -> AnswersPlan:
        from include.kinds.table import disagreement

        known, why = disagreement.known(evaluation, champion)
        said = canary.answers
        held_out = {"unknown": why} if known is None else {"rows": known.rows, "differ": known.differ, "tolerance": known.tolerance}
        return AnswersPlan(requests=said.requests, share=said.share, margin=said.margin, **held_out)

    def label_fault(self, spec: ModelSpec, label: Any, answer: Any) -> str:
        if spec.task is Task.REGRESSION:
            number = isinstance(label, int | float) and not isinstance(label, bool)
            return "" if number else f"is {_said(label)}, and the model's answers are numbers."
        if isinstance(label, float):
            return f"is {_said(label)}, which is no class."
        if answer is not None and type(label) is not type(answer):
            return f"is {_said(label)}, and the model's classes are like {_said(answer)}."
        return ""


def _said(label: Any) -> str:
    """A label with its type, for people."""
    names = {str: "the text", bool: "the truth value", int: "the whole number", float: "the number"}
    return f"{names.get(type(label), type(label).__name__)} {str(label)[:40]!r}"


def _plans(spec: ModelSpec) -> bool:
    return any(method.precision for method in spec.optimize.methods)
