"""A chosen row as a task of Label Studio's, with a key by which it is known again. Pure."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from include.errors import InputError
from include.labels.choose import CONTROL, Chosen
from include.labels.template import KEY, PICTURE, ROW, TEXT, Control
from include.spec.label import Label, Picture

META = "updraft"
"""What of a task is the platform's own, in Label Studio's `meta`."""


def key_of(model: str, row: Mapping[str, Any]) -> str:
    """Return the key of a model's row: of its content alone, whatever the order of its columns."""
    text = json.dumps([model, {str(name): plain(value) for name, value in row.items()}], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plain(value: Any) -> Any:
    """Return a cell as JSON has it: what is missing is null, a whole float is a whole number."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def task(chosen: Chosen, label: Label, control: Control, *, model: str, run: str, champion: int | None) -> dict[str, Any]:
    """Return the task that Label Studio is told. ``run``: the run that chose it. The champion's answer goes with it where the spec has it
    so, and never with the control arm: whoever sees an answer finds it right more readily."""
    candidate = chosen.candidate
    row = {str(name): plain(value) for name, value in candidate.row.items()}
    meta = {"model": model, "run": run, "arm": chosen.arm, "why": chosen.why, "request": candidate.request, "champion": champion}
    found: dict[str, Any] = {"data": {**_shown(row, label), **row, KEY: candidate.key}, "meta": {META: meta}}
    answer = candidate.answers.get(champion) if champion is not None else None
    meta["answer"] = answer
    if answer is not None and label.preannotate and chosen.arm != CONTROL:
        sure = max(candidate.probabilities, default=None)
        said = {"model_version": f"version {champion}", "result": control.result(answer)}
        found["predictions"] = [said if sure is None else said | {"score": round(float(sure), 4)}]
    return found


def _shown(row: Mapping[str, Any], label: Label) -> dict[str, Any]:
    if label.config is not None:
        return {}
    if label.show == "text":
        if label.text is None or label.text not in row:
            raise InputError(f"rows have no column {label.text!r}.", where="label.text", remedy=f"They have {', '.join(row)[:300]}.")
        return {TEXT: "" if row[label.text] is None else str(row[label.text])}
    if label.show == "picture":
        assert label.picture is not None, "checked with the spec"
        return {PICTURE: drawn(row, label.picture)}
    return {ROW: {name: "" if value is None else value for name, value in row.items()}}


def drawn(row: Mapping[str, Any], picture: Picture) -> str:
    """Return the picture in a row as a PNG in a `data:` address. Raises InputError where its columns make none."""
    from PIL import Image

    pixels = [value for name, value in row.items() if fnmatchcase(name, picture.columns)]
    where = "label.picture"
    if not pixels or len(pixels) % picture.width:
        what = f"{len(pixels)} columns match {picture.columns!r}, which is no whole number of lines of {picture.width}."
        raise InputError(what, where=where, remedy="Correct `columns` or `width`.")
    if other := [name for name, value in row.items() if fnmatchcase(name, picture.columns) and not _number(value)]:
        raise InputError(f"column {other[0]!r} holds {row[other[0]]!r:.60}, which is no pixel.", where=where, remedy="Correct `columns`.")
    grey = bytes(255 - round(255 * min(max(float(value) / picture.maximum, 0.0), 1.0)) for value in pixels)
    image = Image.frombytes("L", (picture.width, len(pixels) // picture.width), grey)
    image = image.resize((image.width * picture.scale, image.height * picture.scale), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def missing(wanted: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[int]]:
    """Return the tasks of ``wanted`` that are not among those ``there`` (as Label Studio has them), and the ids of those that are there
    twice and that nobody has labelled: the later ones of each key."""
    first: dict[str, Mapping[str, Any]] = {}
    twice: list[int] = []
    for one in sorted(there, key=lambda one: (not one.get("total_annotations"), int(one["id"]))):
        key = str((one.get("data") or {}).get(KEY) or "")
        if not key:
            continue
        if key in first and not one.get("total_annotations"):
            twice.append(int(one["id"]))
        first.setdefault(key, one)
    return [one for one in wanted if one["data"][KEY] not in first], twice
