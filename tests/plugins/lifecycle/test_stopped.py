"""A task that ends at an error which no retry mends leaves a verdict."""

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.errors import ComponentError, InputError
from lifecycle.operators import base
from lifecycle.operators.base import LifecycleOperator


class Failing(LifecycleOperator):
    """A task at whose end stands ``error``."""

    error: Exception

    def run(self, run, context):
        raise self.error


@pytest.fixture
def kept(monkeypatch):
    """What the run keeps; the run is all that stands for a platform here."""
    found = []
    run = SimpleNamespace(
        key="k", spec=None, folder=None, params={}, settings=None, keep=lambda kind, verdict: found.append((kind, verdict))
    )
    monkeypatch.setattr(base.Run, "of", lambda context, path: run)
    monkeypatch.setattr(base.reach, "results", lambda *of: ())
    return found


def task(error):
    made = Failing(task_id="optimize", spec_path="model.yaml")
    made.error = error
    return made


def test_bad_input_is_kept_as_the_runs_verdict(kept):
    with pytest.raises(AirflowFailException, match="can't be exported"):
        task(InputError("can't be exported.", where="train.entry")).execute({})
    [(kind, verdict)] = kept
    assert kind == "stopped" and verdict.reasons == ("train.entry: can't be exported.",) and verdict.evidence["task"] == "optimize"


def test_what_a_retry_may_mend_is_no_end(kept):
    with pytest.raises(Exception, match="is away"):
        task(ComponentError("MLflow is away.")).execute({})
    assert not kept


def test_a_platform_that_keeps_nothing_hides_no_error(kept, monkeypatch):
    def refuse(*of):
        raise ComponentError("the API is away.")

    monkeypatch.setattr(base, "stopped", refuse)
    with pytest.raises(AirflowFailException, match="can't be exported"):
        task(InputError("can't be exported.")).execute({})
