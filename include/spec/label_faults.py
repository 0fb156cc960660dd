"""How the fields of `label` must fit together, and with the rest of a table model's spec; and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from include.spec import cron
from include.spec.document import Fault, FieldPath
from include.spec.files import file_fault
from include.spec.label import LOG, SNAPSHOT, Label
from include.spec.problem import nearest
from include.spec.schema import ModelSpec, Task

AT: FieldPath = ("label",)
TABLES = (".csv", ".parquet")


def label_faults(spec: ModelSpec) -> Iterator[Fault]:
    """Yield what contradicts itself in `label`; nothing where there is none. Pure."""
    label = spec.label
    if label is None:
        return
    yield from _rows(spec, label)
    yield from _shown(label)
    yield from _classes(spec, label)
    for name in ("schedule", "reconcile"):
        said = getattr(label, name)
        if said is not None and (why := cron.fault(said)):
            yield (
                (*AT, name),
                why,
                {"allowed": (*cron.PRESETS, "five cron fields such as '30 2 * * *'"), "nearest": nearest(said, cron.PRESETS)},
            )
    if label.control == 0 and set(label.choose) != {"random"}:
        what = "leaves no control arm: nobody could say whether choosing pays."
        yield (*AT, "control"), what, {"remedy": "Give a share above 0."}


def _rows(spec: ModelSpec, label: Label) -> Iterator[Fault]:
    if label.rows == LOG:
        if spec.data.production is None:
            what = "is `log`, and labelled rows of the log are learnt from by `data.production`, which is not there."
            yield (*AT, "rows"), what, {"remedy": "Add `data.production: {}`, or name a file of rows."}
    elif label.rows != SNAPSHOT and Path(label.rows).suffix not in TABLES:
        remedy = f"Write `{LOG}`, `{SNAPSHOT}`, or a .csv or .parquet file in the model's folder."
        yield (*AT, "rows"), f"{label.rows[:80]!r} is no place that rows come from.", {"remedy": remedy}
    for name in filter(None, (spec.data.group, spec.data.time, *spec.data.key)):
        if label.rows != LOG and name not in (spec.data.features or ()):
            what = f"a labelled row has no {name!r}, which decides a row's side."
            yield (*AT, "rows"), what, {"remedy": "Leave `data.group`, `key` and `time` out."}


def _shown(label: Label) -> Iterator[Fault]:
    for show, name in (("text", "text"), ("picture", "picture")):
        given = getattr(label, name) is not None
        if label.config is None and given != (label.show == show):
            remedy = f"Give both `show: {show}` and `{name}`, or neither."
            yield (*AT, name), f"`show` is {label.show!r}, and `{name}` is {'there' if given else 'not'}.", {"remedy": remedy}


def _classes(spec: ModelSpec, label: Label) -> Iterator[Fault]:
    at: FieldPath = (*AT, "classes")
    kinds = sorted({type(one).__name__ for one in label.classes})
    if spec.task is Task.REGRESSION:
        if label.classes:
            yield at, "the model answers numbers.", {"remedy": "Leave it out."}
        if set(label.choose) & {"uncertain", "disagreeing"}:
            what = "numbers come without how sure the model is of them."
            yield (*AT, "choose"), what, {"remedy": "Write `choose: [random]`."}
        return
    if len(label.classes) < 2 and label.config is None:
        yield at, "leaves nothing to choose from.", {"remedy": "Name all classes, as the data's target has them."}
    elif len(kinds) > 1:
        yield at, f"mixes types: {', '.join(kinds)}.", {"remedy": "Write all as the data's target has them."}
    for name, count in Counter(map(str, label.classes)).items():
        if count > 1:
            yield at, f"names {name!r} twice.", {"remedy": "Keep one."}


def label_files(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    """Yield every file that `label` names and that is not as it must be in the model's ``folder``."""
    label = spec.label
    if label is None:
        return
    if label.rows not in (LOG, SNAPSHOT) and Path(label.rows).suffix in TABLES:
        yield from file_fault((*AT, "rows"), label.rows, folder)
    if label.config is not None:
        yield from file_fault((*AT, "config"), label.config, folder)
