"""Types that a stored model may hold besides scikit-learn's and numpy's: which of those that a spec names can't be harmless. Pure.

Trusting a type lets a file call it with arguments of its own choice. Of what comes with Python, that is safe for containers and plain
values alone; of other packages, for whatever doesn't load or evaluate what it is given.
"""

from __future__ import annotations

import re
import sys

FULL_NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
HARMLESS = frozenset(
    {
        "builtins.bytearray",
        "builtins.complex",
        "builtins.frozenset",
        "builtins.range",
        "builtins.slice",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "random.Random",
        "re.Pattern",
        "uuid.UUID",
    }
)
"""Of Python's own library."""
LOADERS = frozenset({"cloudpickle", "dill", "fsspec", "hickle", "jsonpickle", "joblib", "numexpr", "skops", "torch", "tensorflow", "yaml"})
"""Packages that load or evaluate code."""
EVALUATORS = re.compile(r"\.(eval|query|read_pickle|exec|execfile|system|popen|Popen|loads?|import_module|runstring|getattr|__\w+)$")


def danger(name: str) -> str:
    """Why this name can't be trusted, as the end of a sentence; empty when nothing speaks against it."""
    if not FULL_NAME.fullmatch(name):
        return "is no full name of a type, such as `xgboost.sklearn.XGBClassifier`."
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names and name not in HARMLESS:
        return "is a part of Python that a stored model must not call."
    if package in LOADERS or EVALUATORS.search(name):
        return "loads or evaluates what it is given: a stored model must not call it."
    return ""
