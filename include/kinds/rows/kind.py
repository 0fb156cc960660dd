"""A kind whose models answer rows with a class or a number each, by KServe's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include.canary.plan import AnswersPlan
from include.kinds.kind import Kind
from include.spec.files import is_query
from include.spec.names import DATA_SOURCE
from include.spec.schema import Spec, TableCanary, Task

if TYPE_CHECKING:
    from include.batch.form import BatchForm
    from include.gates.evaluation import Evaluation
    from include.spec.data import Sql
    from include.spec.serve import Serve
    from include.verdict import Verdict


class RowsKind(Kind):
    """What such kinds do alike, from the check of the data to the labels that come back."""

    files = "CSV or Parquet"
    artifacts: ClassVar = {"evaluation": "evaluation.json", "optimization": "bundle/optimization.json", "search": "search.json"}
    checked: ClassVar[str] = "table"
    """What step `extract` calls the table that expectations are about."""

    def tasks(self, spec: Spec) -> frozenset[str]:
        return frozenset({"batch", *(["monitoring"] if spec.monitor.log.share > 0 else [])})

    def batch(self, spec: Spec) -> BatchForm:
        from include.batch.rows import RowsBatch

        return RowsBatch(spec.data.csv, spec.serve.at_once)

    def query(self, spec: Spec, params: Mapping[str, Any]) -> Sql | None:
        # Of a run only files of rows are taken: another query would be one that nobody has looked at.
        own = params.get(DATA_SOURCE) in (None, "", spec.data.source)
        return spec.data.sql if own and is_query(spec.data.source) else None

    def check_data(self, extracted: Mapping[str, Any], spec: Spec, folder: Path, docs: Path) -> Verdict:
        from include.data.validate import validate

        return validate(
            Path(extracted[self.checked]),
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
        from include.kinds.rows import disagreement

        known, why = disagreement.known(evaluation, champion)
        said = canary.answers
        held_out = {"unknown": why} if known is None else {"rows": known.rows, "differ": known.differ, "tolerance": known.tolerance}
        return AnswersPlan(requests=said.requests, share=said.share, margin=said.margin, **held_out)

    def label_fault(self, spec: Spec, label: Any, answer: Any) -> str:
        if spec.task is Task.REGRESSION:
            number = isinstance(label, int | float) and not isinstance(label, bool)
            return "" if number else f"is {_said(label)}, and the model's answers are numbers."
        if spec.task is Task.MULTILABEL:
            return _several_fault(label)
        if isinstance(label, float):
            return f"is {_said(label)}, which is no class."
        if answer is not None and type(label) is not type(answer):
            return f"is {_said(label)}, and the model's classes are like {_said(answer)}."
        return ""


def _several_fault(label: Any) -> str:
    from include.kinds.rows import tags

    if not isinstance(label, str):
        return f"is {_said(label)}, and the model's answers are texts of labels with {tags.MARK!r} between them."
    try:
        written = tags.read(label)
    except ValueError as error:
        return f"is {_said(label)}: {error}."
    return "" if label == written else f"is {_said(label)}: write the labels in their order, {written!r}."


def _said(label: Any) -> str:
    """A label with its type, for people."""
    names = {str: "the text", bool: "the truth value", int: "the whole number", float: "the number"}
    return f"{names.get(type(label), type(label).__name__)} {str(label)[:40]!r}"
