"""A booster from training to an answer: trained, bundled, served by the real Triton, asked with rows through the real gateway."""

from dataclasses import replace
from pathlib import Path

import pytest

from include.backends.triton.spec import TritonServe
from include.bundles.about import describe
from tests.include.serving.stage import Stage
from tests.include.steps import samples
from tests.include.steps.conftest import Workshop

pytestmark = pytest.mark.integration

CODE = """
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    def train(X, y, params):
        encoded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        columns = ColumnTransformer([("t", encoded, ["colour"]), ("n", "passthrough", ["size", "count"])])
        return make_pipeline(columns, MADE).fit(X, y)
"""


def test_texts_and_numbers_are_answered_by_a_booster_with_names(workshop: Workshop) -> None:
    table = samples.animals()
    model = workshop.model(CODE.replace("MADE", "LGBMClassifier(n_estimators=20, verbose=-1)"), table)
    done = model.bundle()
    assert done.result, done.message
    bundle, stage = Path(done.result["bundle"]), Stage.acquire()
    try:
        revision = stage.backend.start(bundle, "animals", "1", TritonServe(batch_delay_us=0, drain_s=5), {})
        stage.gateway.add_revision(replace(revision.endpoint(), about=describe(bundle, "animals", "1")))
        stage.gateway.set_split("animals", {"1": 100})
        rows = table.drop(columns="y").head(20)
        rows = rows[[tensor["name"] for tensor in stage.client.get("/v2/models/animals").json()["inputs"]]]
        answer = stage.client.post("/v1/models/animals:predict", json={"dataframe_split": rows.to_dict(orient="split")})
        assert answer.status_code == 200, answer.text
        said = answer.json()["predictions"]
        assert {row["label"] for row in said} <= set(table["y"]) and all(set(row["probabilities"]) == set(table["y"]) for row in said)
        assert sum(row["label"] == truth for row, truth in zip(said, table["y"], strict=False)) >= 15
        assert all(max(row["probabilities"], key=row["probabilities"].get) == row["label"] for row in said)
    finally:
        stage.gateway.retire("animals")
        Stage.release()
