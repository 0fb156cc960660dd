"""What serves, and how that changes: on real servers, repeated, interrupted anywhere."""

import shutil

import pytest

from include.backends import options
from include.errors import InputError
from include.gateway.gateway import Gateway
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.serving.revision import RevisionState
from include.verdict import Decision

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_the_first_version_serves_everything_and_is_champion(room):
    version = room.champion()
    assert room.serving == ({str(version): 100}, {str(version)}, {str(version)})
    assert room.mlflow.aliases(room.model) == {"champion": version}
    assert room.stage.infer(room.model).status_code == 200
    assert room.told == [(version, RevisionState.STARTING), (version, RevisionState.RUNNING)]


def test_a_deployed_version_has_no_traffic(room):
    champion, second = room.champion(), room.register(2)
    assert room.deploy(second).decision is Decision.PASS
    assert room.serving == ({str(champion): 100}, {str(champion), str(second)}, {str(champion), str(second)})


def test_promotion_moves_traffic_then_aliases_and_ends_the_loser(room):
    first, second = room.champion(), room.register(2)
    assert room.site.serves_alone(first) and not room.site.serves_alone(second)
    room.deploy(second)
    assert not room.site.serves_alone(first)  # there is something to end
    room.site.challenge(second)
    room.site.promote(second, 2)
    assert room.serving == ({str(second): 100}, {str(second)}, {str(second)})
    assert room.mlflow.aliases(room.model) == {"champion": second, "previous": first}
    assert room.site.serves_alone(second)
    assert room.told[-1] == (first, RevisionState.STOPPED)


def test_a_promotion_repeated_changes_nothing(room):
    first, second = room.champion(), room.register(2)
    room.deploy(second)
    for _ in range(3):
        room.site.promote(second, 2)
    assert room.mlflow.aliases(room.model) == {"champion": second, "previous": first}


def test_a_version_that_is_not_deployed_is_not_promoted(room):
    first = room.champion()
    with pytest.raises(InputError, match="no revision"):
        room.site.promote(first + 1, 2)
    assert room.serving[0] == {str(first): 100}
    assert room.mlflow.aliases(room.model) == {"champion": first}


def test_rollback_gives_the_champion_everything_and_ends_the_challenger(room):
    first, second = room.champion(), room.register(2)
    room.deploy(second)
    room.site.challenge(second)
    room.stage.gateway.set_split(room.model, {str(first): 50, str(second): 50})
    assert room.site.rollback(second, 2) < 5
    assert room.serving == ({str(first): 100}, {str(first)}, {str(first)})
    assert room.mlflow.aliases(room.model) == {"champion": first}
    room.site.rollback(second, 2)
    assert room.serving[0] == {str(first): 100}


def test_a_rollback_of_the_champion_leaves_it_alone(room):
    first = room.champion()
    assert room.site.rollback(first, 2) == 0
    assert room.serving == ({str(first): 100}, {str(first)}, {str(first)})


def test_a_rollback_without_a_champion_retires_the_model(room):
    first = room.register(1)
    room.deploy(first)
    room.stage.gateway.set_split(room.model, {str(first): 100})
    room.site.rollback(first, 2)
    assert room.serving == ({}, set(), set())
    assert room.stage.infer(room.model).status_code == 404


def test_there_is_no_previous_version_at_first(room):
    room.champion()
    with pytest.raises(InputError, match="no version was champion before"):
        room.site.previous()


def test_a_version_that_answers_wrongly_is_not_left_running(room):
    first = room.champion()
    second = room.register(2)
    folder = bundles.fetch(room.mlflow, room.model, second, room.stage.settings.home / "fetched")
    golden = folder / "golden.json"
    import json

    data = json.loads(golden.read_text())
    for tensor in data["outputs"]:
        if tensor["datatype"].startswith("FP"):
            tensor["data"] = [value + 100 for value in tensor["data"]]
    golden.write_text(json.dumps(data))
    verdict = room.site.deploy(second, folder, *options.read(folder))
    assert verdict.decision is Decision.FAIL and verdict.reasons
    assert room.serving == ({str(first): 100}, {str(first)}, {str(first)})
    assert room.told[-1] == (second, RevisionState.ERROR)


def test_traffic_that_was_lent_to_what_stands_by_goes_back_before_it_ends(room):
    first, second = room.champion(), room.register(2)
    room.deploy(second)
    room.site.promote(second, 2, standby_s=600)
    room.stage.gateway.set_split(room.model, {str(first): 100}, mirror=str(second))
    room.site.end_standby()
    assert room.serving == ({str(second): 100}, {str(second)}, {str(second)})
    assert room.stage.infer(room.model).status_code == 200


POINTS = ["set_split", "set_alias champion", "set_alias previous", "delete_alias", "remove_revision"]


class Died(Exception):
    pass


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_promotion_cut_short_anywhere_is_completed_by_the_next(room, monkeypatch, point, before):
    """The process dies just before or just after each of its effects."""
    first, second = room.champion(), room.register(2)
    room.deploy(second)
    room.site.challenge(second)
    method, _, argument = point.partition(" ")
    owner = Mlflow if hasattr(Mlflow, method) else Gateway
    real = getattr(owner, method)

    def dying(self, *arguments, **options):
        if argument and argument not in arguments:
            return real(self, *arguments, **options)
        if not before:
            real(self, *arguments, **options)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, dying)
        with pytest.raises(Died):
            room.production().promote(second, 2)
    assert room.stage.infer(room.model).status_code == 200
    room.production().promote(second, 2)
    assert room.serving == ({str(second): 100}, {str(second)}, {str(second)})
    assert room.mlflow.aliases(room.model) == {"champion": second, "previous": first}


def test_a_bundle_is_fetched_whole_or_not_at_all(room, tmp_path):
    version = room.register(1)
    half = tmp_path / room.model / f".{version}.partial"
    half.mkdir(parents=True)
    (half / "model.onnx").write_text("half")
    folder = bundles.fetch(room.mlflow, room.model, version, tmp_path)
    assert {"model.onnx", "golden.json", "signature.json", "serve.json"} <= {path.name for path in folder.iterdir()}
    assert not half.exists()


def test_a_bundle_that_is_here_is_not_fetched_again(room, tmp_path):
    version = room.register(1)
    folder = bundles.fetch(room.mlflow, room.model, version, tmp_path)
    (folder / "mark").write_text("kept")
    assert bundles.fetch(room.mlflow, room.model, version, tmp_path) == folder
    assert (folder / "mark").exists()


def test_a_version_without_a_bundle_is_refused_by_name(room, tmp_path):
    run = room.mlflow.ensure_run(f"updraft/{room.model}", "empty", "empty")
    source = room.mlflow.run(run)["info"]["artifact_uri"] + "/model"
    version = room.mlflow.ensure_version(room.model, run_id=run, source=source, run_key="empty", tags={})
    with pytest.raises(InputError, match=rf"version {version} of {room.model} has no bundle"):
        bundles.fetch(room.mlflow, room.model, version, tmp_path)
    assert not (tmp_path / room.model / str(version)).exists()


def test_the_models_code_goes_with_the_bundle_and_its_data_does_not(tmp_path):
    from include.backends.triton.spec import TritonServe

    model, bundle = tmp_path / "model", tmp_path / "bundle"
    for path in ("serving.py", "part/more.py", "rows.csv", "rows.parquet", ".hidden", "__pycache__/x.pyc"):
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_text("x")
    bundle.mkdir()
    for _ in range(2):
        bundles.complete(bundle, model, TritonServe(wrapper="serving:Wrapper"), {"delay_ms": 1.5})
    kept = sorted(str(path.relative_to(bundle / "code")) for path in (bundle / "code").rglob("*") if path.is_file())
    assert kept == ["part/more.py", "serving.py"]
    serve, params = options.read(bundle)
    assert serve.wrapper == "serving:Wrapper" and params == {"delay_ms": 1.5}
    shutil.rmtree(bundle / "code")
    bundles.complete(bundle, model, TritonServe(), {})
    assert not (bundle / "code").exists()


def test_a_retired_model_has_neither_traffic_nor_servers_nor_a_champion_and_may_come_back(room):
    first, second = room.champion(), room.register(2)
    room.deploy(second)
    room.site.challenge(second)
    with pytest.raises(InputError, match=f"version {second} is on trial"):
        room.site.retire(2)
    room.site.promote(second, 2)
    assert room.site.retire(2) == [second]
    assert room.serving == ({}, set(), set())
    assert room.mlflow.aliases(room.model) == {}
    assert room.stage.infer(room.model).status_code == 404
    assert room.told[-1] == (second, RevisionState.STOPPED)
    assert room.site.retire(2) == []
    room.deploy(first)
    room.site.promote(first, 2)
    assert room.stage.infer(room.model).status_code == 200
