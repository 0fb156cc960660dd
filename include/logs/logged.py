"""What the prediction log has of one request."""

from __future__ import annotations

from include.logs.record import REQUEST, Record
from include.predictions.known import answers, moment
from include.runtime.settings import Settings


def logged(settings: Settings, model: str, request: str) -> Record | None:
    """Return a record that tells of it; None for a request that was not drawn for the log. Raises ComponentError while others look."""
    at = moment(request)
    if at is None or not model:
        return None
    found = answers(settings, model, (request, f"{request}.0"))
    if not found:
        return None
    name, label = next(iter(found.items()))
    said = "kept" if label is None else f"kept, answered {label!r:.100}"
    return Record(at.timestamp(), "prediction-log", "info", said, facts={"model": model, REQUEST: request, "row": name})
