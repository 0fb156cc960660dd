import time
from pathlib import Path

import pytest

from include.spec.problem import SpecError
from tests.include.steps import samples
from tests.include.steps.conftest import Mlflow, Workshop
from tests.ports import free_port

pytestmark = pytest.mark.integration


def test_a_trained_model_is_stored_without_pickle_and_its_figures_are_on_the_run(workshop: Workshop, mlflow: Mlflow) -> None:
    model = workshop.model(samples.NETWORK, samples.digits(), train={"params": {"epochs": 30}})
    model.params["epochs"] = 40
    done = model.train()
    assert Path(done.result["model"]).name == "model.skops" and Path(done.result["model"]).stat().st_size > 0
    assert not list(done.out.glob("*.pkl"))
    assert mlflow.params(model.run_id)["epochs"] == "40"
    metrics = mlflow.metrics(model.run_id)
    assert metrics["from_the_user"] == 1.5 and metrics["train/accuracy"] == done.result["metrics"]["accuracy"] > 0.8
    assert metrics["train/seconds"] == done.result["seconds"] > 0
    assert done.result["rows"] + done.result["held_out"] == 600
    assert mlflow.models(model.run_id) == ["model"]
    assert mlflow.run(model.run_id)["info"]["status"] == "RUNNING"


def test_the_logged_model_names_its_format_and_signature(workshop: Workshop, mlflow: Mlflow, trainer) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression", gate={"min_score": 0.1})
    uri = model.train().result["model_uri"]
    logged = mlflow.get(f"logged-models/{uri.removeprefix('models:/')}")["model"]
    assert logged["info"]["source_run_id"] == model.run_id


def test_training_again_on_the_same_run_leaves_one_model(workshop: Workshop, mlflow: Mlflow) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression", train={"params": {"alpha": 2.0}})
    assert model.train().result
    again = model.train()
    assert again.result, again.message
    assert mlflow.models(model.run_id) == ["model"]


def test_text_labels_and_mixed_columns_train(workshop: Workshop) -> None:
    done = workshop.model(samples.PIPELINE, samples.animals(), data={"exclude": ["region"]}).train()
    assert done.result["metrics"]["accuracy"] > 0.8


def test_a_model_of_the_users_own_class_is_refused_by_name_and_taken_when_trusted(workshop: Workshop) -> None:
    code = """
        from own import Steady

        def train(X, y, params):
            return Steady().fit(X, y)
    """
    own = "from sklearn.dummy import DummyRegressor\n\nclass Steady(DummyRegressor):\n    pass\n"
    refused = workshop.model(code, samples.diabetes(), task="regression")
    (refused.home / "thing" / "own.py").write_text(own)
    message = refused.train().message
    assert "own.Steady" in message and "train.trusted_types" in message
    trusted = workshop.model(code, samples.diabetes(), task="regression", train={"trusted_types": ["own.Steady"]})
    (trusted.home / "thing" / "own.py").write_text(own)
    done = trusted.train()
    assert done.result, done.message
    assert trusted.evaluate(done).result


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (samples.returning("None"), "returned nothing"),
        (samples.returning("{'weights': 1}"), "a dict, which is no model"),
        (samples.returning("DummyRegressor", "from sklearn.dummy import DummyRegressor"), "the class DummyRegressor"),
        (samples.returning("DummyRegressor()", "from sklearn.dummy import DummyRegressor"), "DummyRegressor is not fitted"),
        (
            samples.returning("DummyClassifier().fit(X, y)", "from sklearn.dummy import DummyClassifier"),
            "DummyClassifier does no regression",
        ),
        (
            samples.returning(
                "broken(LinearRegression().fit(X, y))",
                "from sklearn.linear_model import LinearRegression\n\ndef broken(m):\n    m.coef_[0] = float('nan')\n    return m\n",
            ),
            "NaN",
        ),
        (samples.returning("X.no_such_column"), "no_such_column"),
        (samples.returning("1 / 0"), "ZeroDivisionError"),
        (samples.returning("exit(3)"), "SystemExit"),
        (samples.returning("None", "import no_such_library"), "docker/trainer/requirements.txt"),
        ("def train(X, y, params):\n    return X\n\nraise RuntimeError('at import')\n", "importing train.py raised RuntimeError"),
    ],
)
def test_training_code_at_fault_ends_in_a_sentence(workshop: Workshop, mlflow: Mlflow, code: str, said: str) -> None:
    model = workshop.model(code, samples.diabetes(), task="regression")
    done = model.train()
    assert done.error["kind"] == "input" and said in done.message, done.message
    assert not list(done.out.iterdir()) and mlflow.models(model.run_id) == []


def test_metrics_that_are_not_finite_fail(workshop: Workshop) -> None:
    table = samples.diabetes().assign(y=1.0)
    message = workshop.model(samples.RIDGE, table, task="regression").train().message
    assert "r2 on the training rows is nan" in message


def test_the_log_shows_the_users_traceback_and_only_that(workshop: Workshop) -> None:
    code = """
        def train(X, y, params):
            return deeper(X)

        def deeper(X):
            raise KeyError("the user's own mistake")
    """
    done = workshop.model(code, samples.diabetes(), task="regression").train()
    traceback = done.log[done.log.index("Traceback") :]
    assert "in train" in traceback and "in deeper" in traceback and "include/steps" not in traceback
    assert "train.py, line 6" in done.message


def test_a_module_that_a_library_already_owns_is_refused(workshop: Workshop) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression", train={"entry": "json:train"})
    (model.home / "thing" / "json.py").write_text("def train(X, y, params):\n    return None\n")
    assert "already taken by a library" in model.train().message


def test_an_unknown_or_inverted_score_is_refused_before_training(workshop: Workshop) -> None:
    for metric, said in (("acuracy", "no metric of"), ("rmse", "less is better")):
        with pytest.raises(SpecError, match=said):
            workshop.model(samples.returning("1 / 0"), samples.diabetes(), task="regression", gate={"metric": metric}).train()


def test_an_mlflow_that_is_down_is_a_component_error_at_once(workshop: Workshop, trainer) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    folder = model.home / "steps" / "down"
    model.train()
    first = next((model.home / "steps").iterdir())
    folder.mkdir()
    (folder / "request.json").write_text((first / "request.json").read_text())
    started = time.monotonic()
    done = trainer.again(folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - started < 20
    assert done.error["kind"] == "component" and "does not answer" in done.message


def test_an_unknown_run_is_a_component_error(workshop: Workshop) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression")
    done = model.step("train", mlflow_run_id="0" * 32)
    assert done.error["kind"] == "component" and "MLflow refused" in done.message
