"""A table against its expectations: Great Expectations' answer as a verdict, with its Data Docs."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from include.data import docs as data_docs
from include.data import expectations, profile
from include.data import table as tables
from include.data.expectations import COLUMN_KEYS, Expectation
from include.data.origin import ORIGIN, SOURCE, of_source_alone
from include.numerals import LARGEST
from include.spec.data import Csv
from include.spec.problem import Problem, SpecError, nearest
from include.verdict import Decision, Rule, Verdict

if TYPE_CHECKING:
    import pandas as pd

BOUNDS = ("min_value", "max_value")
OF_TEXTS = ("strftime", "regex", "parseable", "like", "lengths", "of_type", "in_type", "in_set", "json")
"""Words in the names of rules that look at a date as it is written."""
EXACT = 2**53
"""Whole numbers up to here are floats too."""
MESSAGE = 300
"""Characters of what Great Expectations says that are kept: pandas quotes a whole column."""
SHOWN = 5
"""Offending rows that a rule names."""
_OURS = frozenset({"id", "meta", "batch_id", "windows", "result_format", "catch_exceptions", "rendered_content"})
"""Arguments that Great Expectations keeps for itself or that are set here."""


@dataclass(frozen=True)
class _Check:
    """One native rule: the line it comes from, its arguments, and what Great Expectations made of them."""

    line: Expectation
    kwargs: dict[str, Any]
    native: Any


def validate(
    table: Path,
    expectations_file: Path | Sequence[Path],
    docs: Path,
    *,
    name: str,
    target: str | None = None,
    csv: Csv | None = None,
    notes: Sequence[str] = (),
) -> Verdict:
    """PASS or FAIL of ``table`` by the rules in ``expectations_file`` (or in several); Data Docs in the folder ``docs``, replaced whole.

    One rule of the verdict a line of a file, and one more for each further column that fails it. A rule of severity `warning` or
    `info` is shown and does not fail the table. ``evidence["profile"]`` describes the data, ``target``'s distribution included. Rows
    count from 1. ``csv`` says how a CSV file is written; ``notes``, what is known of the table, end the reasons. Raises ``InputError``:
    an unreadable table, or (``SpecError``) a rule that Great Expectations doesn't know or refuses.
    """
    files = [expectations_file] if isinstance(expectations_file, Path) else expectations_file
    lines = [line for file in files for line in expectations.read(file)]
    frame = tables.read(table, csv)
    checks = _checks(lines, list(frame.columns), of_source_alone(frame))
    results = _results(checks, frame, docs, name)
    empty = [str(name) for name in frame.columns if len(frame) and frame[name].isna().all()]
    said: list[str] = []
    findings: list[tuple[Rule, bool]] = []
    for line in lines:
        outcomes = [(check, results.get(index)) for index, check in enumerate(checks) if check.line is line]
        lines_rules, fatal = _rules(line, outcomes, list(frame.columns))
        findings += [(rule, fatal) for rule in lines_rules]
        ours = [name for name in empty if any(check.kwargs.get("column") == name for check, _ in outcomes)]
        said += [f"{line.rule} says nothing of {', '.join(ours)}: no row has a value there."] if ours and fatal else []
    return conclude(findings, profile.describe(frame, target), len(checks), [*said, *notes])


def conclude(findings: Sequence[tuple[Rule, bool]], described: Mapping[str, Any], expectations: int, notes: Sequence[str] = ()) -> Verdict:
    """PASS or FAIL by what Great Expectations has found: each rule, and whether it must hold; ``notes`` end the reasons. Pure."""
    rules = tuple(rule for rule, _ in findings)
    reasons = [_sentence(rule, fatal) for rule, fatal in findings if not rule.passed]
    failed = any(fatal and not rule.passed for rule, fatal in findings)
    evidence = {
        "profile": dict(described),
        "expectations": expectations,
        "failed": sum(not rule.passed for rule in rules),
        "findings": [{**asdict(rule), "must_hold": fatal} for rule, fatal in findings],
        "notes": list(notes),
    }
    if not failed:
        reasons.insert(0, f"All {expectations} expectations that must hold do, in {described['rows']} rows.")
    return Verdict(Decision.FAIL if failed else Decision.PASS, (*reasons, *notes), rules, evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    findings = [
        (Rule(**{name: value for name, value in finding.items() if name != "must_hold"}), bool(finding["must_hold"]))
        for finding in evidence["findings"]
    ]
    return conclude(findings, evidence["profile"], evidence["expectations"], evidence.get("notes", ()))


def _checks(lines: Sequence[Expectation], columns: list[str], of_source: Collection[str] = ()) -> list[_Check]:
    """``of_source``: columns of which the rules hold for rows of the source alone."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations
    from pydantic.v1 import ValidationError

    known = sorted(list_registered_expectation_implementations())
    out: list[_Check] = []
    problems: list[Problem] = []
    for line in lines:
        if line.rule not in known:
            problems.append(line.problem("Great Expectations has no such rule.", nearest=nearest(line.rule, known)))
            continue
        native = get_expectation_impl(line.rule)
        if wrong := _unknown_arguments(line, native):
            problems += wrong
            continue
        # A glob that matches nothing still has its other arguments checked, on a column that stands for it.
        variants = line.over(columns) or [{"column": line.columns[0]} | line.kwargs]
        try:
            made = [
                _Check(line, kwargs, native(**kwargs, **_rows_of(kwargs, of_source), meta={"check": len(out) + n}))
                for n, kwargs in enumerate(variants)
            ]
        except ValidationError as error:
            problems += [_refused(line, item) for item in error.errors()]
            continue
        out += made if line.over(columns) else []
    if problems:
        raise SpecError(problems)
    return out


def _rows_of(kwargs: Mapping[str, Any], of_source: Collection[str]) -> dict[str, Any]:
    from great_expectations.expectations.row_conditions import Column

    return {"row_condition": Column(ORIGIN) == SOURCE} if kwargs.get("column") in of_source else {}


def check_rules(files: Sequence[Path]) -> None:
    """Raise ``SpecError`` for rules that Great Expectations doesn't know, or whose arguments it refuses; no table is needed.

    Where it is not installed, as in the runtime of training, only the form is checked."""
    lines = [line for file in files for line in expectations.read(file)]
    if importlib.util.find_spec("great_expectations") is not None:
        _checks(lines, [])


def _dated(checks: Sequence[_Check], frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with dates where a rule has dates for bounds: Great Expectations makes dates of such texts, and compares them with dates
    alone. A bound is the whole day. A column that another rule takes for a text stays one."""
    import pandas as pd

    changed = {}
    for name in {str(check.kwargs.get("column")) for check in checks} & set(frame.columns):
        own = [check for check in checks if check.kwargs.get("column") == name]
        bounds = [check.kwargs[key] for check in own for key in BOUNDS if key in check.kwargs]
        if not any(_is_date(bound) for bound in bounds) or any(word in check.line.rule for check in own for word in OF_TEXTS):
            continue
        moments = pd.to_datetime(frame[name], errors="coerce", format="ISO8601") if frame[name].dtype == object else frame[name]
        if pd.api.types.is_datetime64_any_dtype(moments.dtype) and (moments.isna() == frame[name].isna()).all():
            changed[name] = moments.dt.date.astype(object).where(moments.notna(), None)
    return frame.assign(**changed) if changed else frame


def _without_na(checks: Sequence[_Check], frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with plain numbers where pandas' nullable types hold missing ones, whose comparisons Great Expectations can't decide. A
    column that a rule asks for its type stays as it is."""
    import pandas as pd

    typed = {str(check.kwargs.get("column")) for check in checks if "type" in check.line.rule}
    changed = {}
    for name in set(frame.columns) - typed:
        column = frame[name]
        if not pd.api.types.is_extension_array_dtype(column.dtype) or not column.isna().any():
            continue
        if pd.api.types.is_bool_dtype(column.dtype):
            changed[name] = column.astype(object).where(column.notna(), None)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            exact = column.dropna().abs().max() <= EXACT
            changed[name] = column.astype("float64") if exact else column.astype(object).where(column.notna(), None)
    return frame.assign(**changed) if changed else frame


def _is_date(bound: Any) -> bool:
    return isinstance(bound, date) or (isinstance(bound, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", bound) is not None)


@contextmanager
def _plain_results(checks: Sequence[_Check]) -> Iterator[None]:
    """Some rules give numpy's truth values, which no JSON takes and on which the whole validation would fail."""
    with ExitStack() as patched:
        for kind in {type(check.native) for check in checks}:
            patched.enter_context(patch.object(kind, "_validate", _plainly(kind._validate)))
        yield


def _plainly(original: Callable[..., Any]) -> Callable[..., Any]:
    def validate(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _plain(original(self, *args, **kwargs))

    return validate


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value.item() if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_") else value


def _unknown_arguments(line: Expectation, native: Any) -> list[Problem]:
    allowed = [key for key in native.__fields__ if key not in _OURS]
    return [
        line.problem("is no argument of this rule.", key, nearest=nearest(key, allowed), allowed=tuple(allowed))
        for key in line.kwargs
        if key not in allowed
    ]


def _refused(line: Expectation, item: Any) -> Problem:
    at = [str(part) for part in item["loc"] if part != "__root__"]
    missing = item["type"] == "value_error.missing"
    return line.problem("is missing." if missing else f"is refused: {item['msg']}.", *at, remedy="Correct the rule's arguments.")


def _results(checks: Sequence[_Check], frame: pd.DataFrame, docs: Path, name: str) -> dict[int, Any]:
    """Great Expectations' result of each check that can be made (its columns are there), by its index."""
    there = set(frame.columns)
    feasible = [check.native for check in checks if all(check.kwargs[key] in there for key in COLUMN_KEYS if key in check.kwargs)]
    with data_docs.site(docs) as context:
        import great_expectations as gx

        asset = context.data_sources.add_pandas(name).add_dataframe_asset("table")
        batch = asset.add_batch_definition_whole_dataframe("all rows")
        suite = context.suites.add(gx.ExpectationSuite(name, expectations=feasible))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        with _plain_results(checks):
            answer = definition.run(
                batch_parameters={"dataframe": _without_na(checks, _dated(checks, frame))},
                result_format={"result_format": "SUMMARY", "partial_unexpected_count": SHOWN},
            )
        context.build_data_docs()
    return {result.expectation_config.meta["check"]: result for result in answer.results}


def _rules(line: Expectation, outcomes: Sequence[tuple[_Check, Any]], columns: list[str]) -> tuple[list[Rule], bool]:
    """The verdict's rules of one line, and whether their failure is the table's."""
    bar = ", ".join(f"{key} {value}" for key, value in line.kwargs.items() if key not in (*COLUMN_KEYS, "severity", "notes", "description"))
    fatal = str(line.kwargs.get("severity", "critical")) == "critical"
    if not outcomes:
        return [Rule(line.label, False, "no such column", bar, f"No column matches; the data has {_listed(columns)}")], fatal
    failed = [_failed(check, result, bar, columns) for check, result in outcomes if result is None or not result.success]
    if failed:
        return failed, fatal
    excused = sum(result.result.get("unexpected_count") or 0 for _, result in outcomes)
    empty = sum(result.result.get("missing_count") or 0 for _, result in outcomes)
    rows = (f"all rows but {excused}" if excused else "all rows") + (f"; {empty} have no value, and pass" if empty else "")
    if len(outcomes) > 1:
        missing = f"; {empty} are missing, and pass" if empty else ""
        figure = f"{len(outcomes)} columns, {f'all values but {excused}' if excused else 'all values' if empty else rows}{missing}"
    else:
        found = outcomes[0][1].result
        observed = found.get("observed_value")
        vacuous = found.get("element_count") and found.get("missing_count") == found["element_count"]
        figure = _value(observed) if observed is not None else "no row has a value" if vacuous else rows
    return [Rule(line.label, True, figure, bar)], fatal


def _failed(check: _Check, result: Any, bar: str, columns: list[str]) -> Rule:
    about = [str(check.kwargs[key]) for key in COLUMN_KEYS if key in check.kwargs]
    name = f"{check.line.rule} ({', '.join(about)})" if about else check.line.rule
    if result is None:
        missing = next(column for column in about if column not in columns)
        near = nearest(missing, columns)
        return Rule(name, False, f"no column {missing!r}", bar, f"Did you mean {near!r}?" if near else f"The data has {_listed(columns)}")
    if message := _exception(result.exception_info):
        helps = " `data.csv.dates` reads a column of dates as dates." if "same type" in message or "date" in message else ""
        helps = (
            " The column holds texts: the rule is for numbers."
            if "to numeric" in message or ("str" in message and "int" in message)
            else helps
        )
        return Rule(name, None, "could not be decided", bar, message + helps)
    found = result.result
    if "unexpected_count" not in found:
        return Rule(name, False, _value(found.get("observed_value")), bar)
    figure = f"{found['unexpected_count']} of {found['element_count']} rows"
    return Rule(name, False, figure, bar, _offending(found))


def _offending(found: Any) -> str:
    rows = list(found.get("partial_unexpected_index_list") or ())
    values = list(found.get("partial_unexpected_list") or ())
    pairs = zip(rows, values, strict=False) if rows else ()
    shown = [f"row {row + 1}: {_value(value)}" for row, value in list(pairs)[:SHOWN]] or [_value(value) for value in values[:SHOWN]]
    more = ", ..." if found["unexpected_count"] > len(shown) else ""
    return ", ".join(shown) + more


def _exception(info: Any) -> str | None:
    """The message of what Great Expectations caught: flat for a whole rule, keyed by metric for a part of it."""
    parts = [info] if "raised_exception" in info else list(info.values())
    return next((str(part.get("exception_message")).splitlines()[0][:MESSAGE] for part in parts if part.get("raised_exception")), None)


def _sentence(rule: Rule, fatal: bool) -> str:
    wanted = f" (wanted: {rule.bar})" if rule.bar else ""
    detail = f": {rule.detail}" if rule.detail else ""
    return f"{'' if fatal else 'Warning only: '}{rule.name}: {rule.figure}{wanted}{detail}"


def _value(value: Any) -> str:
    import pandas as pd

    value = value.item() if hasattr(value, "item") else value
    missing = pd.api.types.is_scalar(value) and pd.isna(value)
    text = "missing" if missing else _number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _number(value: float) -> str:
    """All digits of a number; a whole one without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < LARGEST else repr(value)


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else ".")
