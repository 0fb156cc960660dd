"""What helps a part whose conversion fails or gives something else."""

from typing import Any

import pytest

from include.kinds.table.onnx_remedies import by_message, helps


def part(kind: str, **settings: Any) -> Any:
    return type(kind, (), {"get_params": lambda self, deep=True: settings} | {k: v for k, v in settings.items() if k.endswith("_")})()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (part("TfidfVectorizer", stop_words=None), "set its `token_pattern=r'[a-zA-Z0-9_]+'`"),
        (part("CountVectorizer", stop_words=["the"]), "take them out in the data source"),
        (part("OneHotEncoder", min_frequency=5, max_categories=None), "The export knows no `min_frequency`: give rare categories one name"),
        (part("KNeighborsClassifier", weights="distance"), "`weights='uniform'`"),
        (part("HistGradientBoostingClassifier", is_categorical_=[True]), "The export knows no `categorical_features`"),
        (part("HistGradientBoostingClassifier", is_categorical_=None), ""),
        (part("OneHotEncoder", min_frequency=None), ""),
        (part("SimpleImputer", add_indicator=True), "The export knows no `add_indicator`: leave it out"),
        (object(), ""),
    ],
)
def test_a_part_is_helped_by_its_settings(own: Any, said: str) -> None:
    assert said in helps(own) if said else helps(own) == ""


def test_a_message_is_helped_by_its_words() -> None:
    assert by_message("AttributeError: 'list' object has no attribute 'sum'") == "Give its `weights` as a numpy array"
    assert by_message("anything else") == ""
