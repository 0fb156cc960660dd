"""The bundle that shows broken specs among Airflow's import errors."""

from tests.dags.test_dags import BAG
from tests.journey import newcomer

REFRESH = """
import json
from lifecycle.broken_specs import BrokenSpecsBundle
bundle = BrokenSpecsBundle(name="specs", refresh_interval=10)
bundle.initialize()
print(json.dumps([str(bundle.path), sorted(path.name for path in bundle.path.glob("*.py"))]))
"""


def refresh(parsing):
    folder, names = parsing.ask(REFRESH)
    return parsing.ask(BAG.format(dags=folder)), names


def crooked(parsing, name="bad"):
    path = newcomer.write(parsing.models, name) / "model.yaml"
    path.write_text(path.read_text().replace("task: classification", "task: clasification"))
    return path


def test_without_broken_specs_it_is_empty(alone):
    newcomer.write(alone.models, "good")
    found, names = refresh(alone)
    assert names == [] and found == {"errors": {}, "dags": {}}


def test_each_broken_spec_is_one_import_error_with_file_field_and_nearest_name(alone):
    newcomer.write(alone.models, "good")
    paths = [crooked(alone, name) for name in ("bad", "worse")]
    found, names = refresh(alone)
    assert names == ["bad.py", "worse.py"]
    assert found["dags"] == {}
    assert len(found["errors"]) == 2
    for path, error in zip(paths, (text for _, text in sorted(found["errors"].items())), strict=True):
        assert str(path) in error and "task" in error and "classification" in error


def test_a_mended_spec_is_forgotten(alone):
    path = crooked(alone)
    assert refresh(alone)[1] == ["bad.py"]
    path.write_text(path.read_text().replace("clasification", "classification"))
    assert refresh(alone)[1] == []


def test_a_removed_model_is_forgotten(alone):
    import shutil

    path = crooked(alone)
    refresh(alone)
    shutil.rmtree(path.parent)
    assert refresh(alone)[1] == []


def test_a_models_folder_that_is_gone_is_said_by_the_dag_file_and_breaks_nothing_here(alone):
    alone.models.rmdir()
    assert refresh(alone)[1] == []
    found = alone.ask(BAG.format(dags=str(alone.settings.repo / "dags")))
    assert found["dags"].keys() == {"updraft_backup", "serving_reconcile"}  # the platform's own, of no model
    assert all(str(alone.models) in error for error in found["errors"].values()) and found["errors"], found["errors"]


REREAD = """
import json
from pathlib import Path
from lifecycle import broken_specs
read, whole = [], broken_specs._broken
broken_specs._broken = lambda spec: read.append(spec.parent.name) or whole(spec)
bundle = broken_specs.BrokenSpecsBundle(name="specs", refresh_interval=10)
found, asked = [], []
broken_specs.ask_airflow = lambda bundle, files: asked.append([bundle, *map(str, files)])
for change in (None, None, {changed!r}):
    read.clear()
    if change:
        Path(change).write_text(Path(change).read_text() + "# changed\\n")
    bundle.refresh()
    found.append(sorted(read))
print(json.dumps([found, asked]))
"""


def test_only_a_model_whose_folder_has_changed_is_read_again_and_its_dags_with_it(alone):
    paths = [newcomer.write(alone.models, name) for name in ("one", "two")]
    read, asked = alone.ask(REREAD.format(changed=str(paths[1] / "train.py")))
    assert read == [["one", "two"], [], ["two"]]
    assert len(asked) == 1 and asked[0][0] == "updraft" and {"lifecycle.py", "batch.py", "rollback.py"} <= set(asked[0])
