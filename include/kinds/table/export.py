"""The export of a model that is the model: the first conversion whose answers are the original's, with what it must refuse."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Tolerance
from include.bundles.limits import Limit
from include.bundles.signature import Signature
from include.data.columns import typed
from include.errors import InputError, UpdraftError
from include.kinds.forms.onnx_model import OnnxModel
from include.kinds.rows import answers
from include.kinds.rows.answers import Answers
from include.kinds.rows.rows import Rows
from include.kinds.table import probes
from include.kinds.table.onnx_conversion import convert
from include.kinds.table.onnx_export import Arithmetic, Attempt, arrays, attempts, inputs_of, refusal, types
from include.kinds.table.onnx_remedies import helps
from include.kinds.table.parity import Ask, differing, shown
from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Exported:
    """A model's export: ``ask`` is the original, ``signature`` what is served, ``probed`` the probes with the original's answers."""

    signature: Signature
    ask: Ask
    wide: frozenset[str]
    arithmetic: Arithmetic
    rows: int
    probed: tuple[probes.Probed, ...]

    @property
    def sentence(self) -> str:
        wide = f" {', '.join(sorted(self.wide))} need more than 32-bit floats." if self.wide else ""
        limited = sum(1 for limit in self.signature.limits.values() if limit.low is not None or limit.high is not None or limit.known)
        bounds = f" {limited} columns take only values that are known from training." if limited else ""
        return f"Exported with {self.arithmetic}: the original's answers on {self.rows} held-out rows and on probes.{wide}{bounds}"

    def unlike(self) -> pd.DataFrame:
        """Probes that the served form takes, one a kind and column in turn: those of rare kinds come first.

        None lies outside the training values: 8-bit forms, calibrated on these, can't follow there and needn't."""
        import pandas as pd

        kinds = (probes.Kind.MISSING, probes.Kind.UNSEEN, probes.Kind.HIGHEST, probes.Kind.LOWEST)
        found = {one.probe.kind: one.probe.x[one.taken] for one in self.probed if one.taken.any()}
        parts = [found[kind] for kind in kinds if kind in found]
        parts = [part[[not self._refused(part.iloc[[row]]) for row in range(len(part))]] for part in (part.head(64) for part in parts)]
        longest = max(map(len, parts), default=0)
        turns = [part.iloc[[row]] for row in range(longest) for part in parts if row < len(part)]
        return pd.concat(turns, ignore_index=True) if turns else self.probed[0].probe.x.head(0)

    def _refused(self, row: pd.DataFrame) -> str:
        return next((why for name, limit in self.signature.limits.items() if (why := limit.refusal(row[name].to_numpy()))), "")


def exported(model: Any, train: Rows, test: Rows, task: Task, path: Path, tolerance: Tolerance) -> Exported:
    """Write ``model`` to ``path`` as ONNX. InputError when no conversion answers as it does: which part, why, and what helps."""
    classes = answers.classes_of(model) if task is Task.CLASSIFICATION else ()
    inputs = inputs_of(train.x, train.wide)

    def ask(x: pd.DataFrame) -> Answers:
        return answers.of_estimator(model, x, task)

    reference = ask(test.x)
    probed = tuple(probes.ask_original(probe, ask) for probe in probes.probes(train.x, train.wide))
    data = _both(train.x, test.x)
    found: list[tuple[Attempt, probes.Outcome, Signature]] = []
    failures: list[Attempt] = []
    differences: list[tuple[Attempt, str]] = []
    for attempt in attempts(model, train.x, train.wide, task):
        if attempt.proto is None:
            failures.append(attempt)
            continue
        path.write_bytes(attempt.proto.SerializeToString())
        try:
            made = Signature.from_onnx(path, tuple(train.x.columns), classes)
            there = {tensor.name for tensor in made.inputs}
            signature = replace(made, inputs=tuple(replace(tensor, optional=tensor.name not in there) for tensor in inputs))
            served = OnnxModel(path, signature)
            wrong = differing(ask, served.answers(test.x), reference, test.x, train.wide, tolerance)
        except Exception as error:  # ONNX Runtime's own errors, and the protocol's
            failures.append(replace(attempt, proto=None, error=error))
            continue
        if wrong.any():
            first = int(wrong.argmax())
            differences.append((attempt, f"{int(wrong.sum())} of {len(test)} held-out rows, first where {shown(test.x, first)}"))
            continue
        outcome = probes.judge(list(probed), ask, served.answers, data, train.wide, tolerance)
        if outcome.faults:
            differences.append((attempt, f"rows such as {', '.join(outcome.faults[:3])}"))
            continue
        found.append((attempt, outcome, signature))
        if not outcome.differs:
            break
    if not found:
        raise _unlike(model, differences, train, test) if differences else refusal(model, failures)
    attempt, outcome, signature = min(found, key=lambda one: one[1].differs)
    assert attempt.proto is not None
    path.write_bytes(attempt.proto.SerializeToString())
    truths = _truths(train)
    limits = outcome.limits | _of_truths(truths, outcome.limits)
    return Exported(replace(signature, limits=limits, truths=truths), ask, train.wide, attempt.arithmetic, len(test), probed)


def _truths(train: Rows) -> tuple[str, ...]:
    from pandas.api import types as kinds

    plain = typed(train.table[list(train.x.columns)])
    return tuple(name for name in plain.columns if kinds.is_bool_dtype(plain[name].dtype))


def _of_truths(names: Sequence[str], limits: Mapping[str, Limit]) -> dict[str, Limit]:
    """The limits of columns of truth values: they go over the wire as numbers, of which only 0 and 1 say something."""
    return {name: replace(limits.get(name, Limit()), known=limits.get(name, Limit()).known or (0, 1)) for name in names}


def _inexact(model: Any, x: pd.DataFrame, way: Arithmetic) -> Any:
    """The part whose conversion gives something else, or fails, on rows ``x`` that the part itself takes: the first step of a pipeline
    behind which the numbers differ (in a ColumnTransformer the first such transformer), else the last step."""
    steps = getattr(model, "steps", None) or [("", model)]
    for count in range(1, len(steps)):
        if _transforms_alike(model[:count], model[:count], x, way):
            continue
        part = steps[count - 1][1]
        return next((one for one in (_unlike_columns(part, x, way) if count == 1 else ())), part)
    return _last(steps[-1][1])


def _unlike_columns(part: Any, x: pd.DataFrame, way: Arithmetic) -> Iterator[Any]:
    """The transformers of a ColumnTransformer whose conversion gives something else, each within a copy that drops the others."""
    fitted = getattr(part, "transformers_", ())
    for at, (_, own, columns) in enumerate(fitted):
        if not hasattr(own, "transform"):
            continue
        alone = copy.copy(part)
        alone.transformers_ = [entry if n == at else (entry[0], "drop", entry[2]) for n, entry in enumerate(fitted)]
        of_it = x[columns] if isinstance(columns, str | list) else x.iloc[:, columns]
        if not _transforms_alike(alone, own, of_it, way, whole=x):
            yield _last(own)


def _last(part: Any) -> Any:
    return _last(part.steps[-1][1]) if getattr(part, "steps", None) else part


def _transforms_alike(converted: Any, original: Any, x: pd.DataFrame, way: Arithmetic, whole: pd.DataFrame | None = None) -> bool:
    """Whether ``converted`` gives in ONNX what ``original`` gives for ``x``; true where the original gives nothing to compare."""
    import numpy as np
    import onnxruntime

    given = x if whole is None else whole
    try:
        wanted = original.transform(x)
    except Exception:
        return True
    wanted = np.asarray(wanted.todense() if hasattr(wanted, "todense") else wanted)
    try:
        proto = convert(converted, types(given, way))
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        own = dict(zip([name for name, _ in types(given, way)], arrays(given, way), strict=True))
        said = np.asarray(session.run(None, {node.name: own[node.name] for node in session.get_inputs()})[0])
    except Exception:
        return False
    if wanted.dtype.kind not in "fiub" or said.dtype.kind not in "fiub":
        return True
    return bool(said.shape == wanted.shape and np.allclose(said, wanted, rtol=1e-3, atol=1e-4, equal_nan=True))


def _both(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([train, test], ignore_index=True)


def _unlike(model: Any, differences: Sequence[tuple[Attempt, str]], train: Rows, test: Rows) -> UpdraftError:
    """The refusal of a model that can be converted, into something else."""
    attempt, where = differences[-1]
    last = _inexact(model, test.x, attempt.arithmetic)
    missing = "missing" in where
    if own := helps(last):
        remedy = f"{own}."
    elif train.wide:
        wide = ", ".join(map(repr, sorted(train.wide)))
        remedy = (
            f"{wide} hold numbers that 32-bit floats don't, and {type(last).__name__}'s conversion computes in these: subtract a constant "
            "in the data source (seconds since the first row instead of since 1970), round, scale, or read identifiers as texts."
        )
    elif missing:
        remedy = (
            f"Fill missing values in the data source, or use an estimator for {type(last).__name__} that docs/exports.md lists with them."
        )
    else:
        remedy = "Use an estimator that docs/exports.md lists as exact, or train it on scaled features."
    return InputError(
        f"the ONNX export of {type(last).__name__} does not answer as the model does ({attempt.arithmetic}): it differs in {where}.",
        where="train.entry",
        remedy=remedy,
    )
