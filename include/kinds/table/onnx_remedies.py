"""What helps against a conversion that fails, or gives something else: by skl2onnx's message, or by the part's settings. Pure."""

from __future__ import annotations

from typing import Any

MESSAGES = (
    ("missing values are string", "A missing text is the empty text here: use SimpleImputer(missing_values='', ...) for text columns"),
    ("cannot convert float NaN to integer", "Fill missing numbers before this part (SimpleImputer), or make the column a text"),
    ("'list' object has no attribute 'sum'", "Give its `weights` as a numpy array"),
    ("flatten_transform==True", "Set its `flatten_transform=False`"),
    ("strip_accents", "Take the accents away in the data source"),
    ("tokenizer='word'", "Set its `analyzer='word'`"),
)
"""Part of a message, and the remedy."""
WORDS = r"[a-zA-Z0-9_]+"
"""How skl2onnx finds the words of a text, unless it is given a pattern as plain as this one."""


def by_message(message: str) -> str:
    """The remedy for one of skl2onnx's messages; empty when none is known."""
    return next((remedy for sign, remedy in MESSAGES if sign in message), "")


def helps(part: Any) -> str:
    """What makes the conversion of ``part`` what it is; empty when nothing is known to."""
    settings = part.get_params(deep=False) if hasattr(part, "get_params") else {}
    kind = type(part).__name__
    if kind in ("TfidfVectorizer", "CountVectorizer"):
        if settings.get("stop_words"):
            return f"The export leaves stop words out in another way: take them out in the data source, and set `token_pattern=r'{WORDS}'`"
        return f"The export finds other words: set its `token_pattern=r'{WORDS}'`, and spell other letters with these in the data source"
    rare = [name for name in ("min_frequency", "max_categories") if settings.get(name) is not None]
    if rare:
        return f"The export knows no {' and '.join(f'`{name}`' for name in rare)}: give rare categories one name in the data source"
    if settings.get("add_indicator"):
        return "The export knows no `add_indicator`: leave it out, or make columns that say what is missing in the data source"
    if kind.startswith("HistGradientBoosting") and getattr(part, "is_categorical_", None) is not None:
        return "The export knows no `categorical_features`: leave them out, or encode these columns before"
    if kind == "CalibratedClassifierCV" and hasattr(settings.get("estimator"), "steps"):
        return "The export calibrates no pipeline: put the steps before it, and calibrate the last one alone"
    if kind == "SimpleImputer" and (mark := settings.get("missing_values")) == mark and mark not in (None, ""):
        return f"Make {mark!r} a missing value in the data source (`data.csv.missing` for a CSV file), and impute missing numbers"
    if settings.get("weights") == "distance":
        return "Set its `weights='uniform'`"
    return ""
