"""Models of named tensors from their rows to a bundle: an ONNX file that is brought."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from include.bundles.about import describe
from include.bundles.golden import Golden
from include.bundles.signature import Signature
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.release.bundle import complete
from include.runtime.settings import Settings
from include.verdict import Decision
from tests.include.serving.stage import Stage
from tests.include.steps.conftest import Mlflow, Model, Trainer

pytestmark = pytest.mark.integration

PICTURES = """
    import numpy as np

    class Wrapper:
        def __init__(self, params):
            self.scale = params.get("scale", 255)

        def before(self, inputs):
            return {"x": np.stack([np.asarray(i.resize((2, 2))).reshape(4) for i in inputs["photo"]]).astype("float32") / self.scale}

        def after(self, outputs):
            return {"label": outputs["label"], "probabilities": outputs["probabilities"]}
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    maker = Path(__file__).with_name("make_onnx.py")
    subprocess.run([str(Settings.load().python("trainer")), str(maker), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


@pytest.fixture
def brought(tmp_path: Path, trainer: Trainer, mlflow: Mlflow, files: Path) -> Any:
    def made(
        file: str, table: pd.DataFrame, code: str = "", task: str = "classification", data: Mapping[str, Any] | None = None, **spec: Any
    ) -> Model:
        folder = tmp_path / "thing"
        folder.mkdir()
        shutil.copyfile(files / f"{file}.onnx", folder / "model.onnx")
        (folder / "expectations.yaml").write_text("- expect_table_row_count_to_be_between: {min_value: 1}\n")
        (folder / "serving.py").write_text(textwrap.dedent(code))
        table.to_parquet(folder / "rows.parquet")
        said = {"name": "thing", "kind": "tensor", "task": task, "base": "model.onnx"}
        said |= {"data": {"source": "rows.parquet", "target": "y"} | dict(data or {})}
        said |= {"serve": {"wrapper": "serving:Wrapper"}} if code else {}
        (folder / "model.yaml").write_text(yaml.safe_dump(said | spec))
        return Model(tmp_path, trainer, mlflow.new_run())

    return made


def rows(files: Path, count: int = 200) -> pd.DataFrame:
    weights = np.load(files / "weights.npy")
    x = np.random.default_rng(1).normal(size=(count, 4)).astype("float32")
    return pd.DataFrame(x, columns=list("abcd")).assign(y=(x @ weights).argmax(1))


def judged(model: Model, **inputs: str) -> tuple[dict[str, Any], Path]:
    """What the evaluation says, and the folder with the graph; every step must succeed."""
    extracted = model.step("extract")
    assert extracted.result, extracted.message
    trained = model.step("train", table=extracted.result["table"])
    assert trained.result, trained.message
    evaluated = model.step("evaluate", table=extracted.result["table"], model=trained.result["model"], **inputs)
    assert evaluated.result, evaluated.message
    return json.loads(Path(evaluated.result["evaluation"]).read_text()), Path(trained.result["model"]).parent


def through(model: Model) -> tuple[dict[str, Any], Path]:
    """The same, and the bundle instead of the folder."""
    evaluation, folder = judged(model)
    given = {"table": str(next(model.home.glob("steps/extract-*/out/table.parquet"))), "model": str(folder / "model.onnx")}
    optimized = model.step("optimize", **given)
    assert optimized.result, optimized.message
    verified = model.step("verify", optimized=optimized.result["folder"], **given)
    assert verified.result, verified.message
    return evaluation, Path(verified.result["bundle"])


def refused(model: Model) -> str:
    extracted = model.step("extract")
    done = model.step("train", table=extracted.result["table"]) if extracted.result else extracted
    assert done.error.get("kind") == "input", done.log
    return done.message


def test_a_file_goes_from_its_rows_to_a_bundle(brought: Any, files: Path, mlflow: Mlflow) -> None:
    model = brought("good", rows(files))
    evaluation, bundle = through(model)
    signature = Signature.read(bundle / "signature.json")
    assert [(one.name, one.datatype, one.shape) for one in signature.inputs] == [("input", "FP32", (-1, 4))]
    assert [(one.name, one.datatype) for one in signature.outputs] == [("label", "INT64"), ("probabilities", "FP32")]
    assert signature.features == ("a", "b", "c", "d") and signature.classes == (0, 1, 2)
    assert evaluation["scores"]["accuracy"]["value"] == 1
    assert Golden.read(bundle / "golden.json").rows > 20
    forms = {row["name"]: row for row in json.loads((bundle / "optimization.json").read_text())["candidates"]}
    assert set(forms) == {"plain", "graph", "int8"} and all(row["available"] for row in forms.values())
    assert mlflow.models(model.run_id) == ["model", "serving"]


def test_the_champion_is_asked_with_its_own_code(brought: Any, files: Path, tmp_path: Path) -> None:
    photos = pd.DataFrame({"photo": [png(np.full((4, 4), 10 * n)) for n in range(20)], "y": [n % 3 for n in range(20)]})
    pictured = {"images": {"photo": {"mode": "L"}}}
    model = brought("good", photos, PICTURES, data=pictured, gate={"min_score": 0})
    _, bundle = through(model)
    champion = tmp_path / "champion"
    shutil.copytree(bundle, champion)
    shutil.copytree(tmp_path / "thing", champion / "code")
    (champion / "serve.json").write_text(
        json.dumps({"kind": "tensor", "serve": {"backend": "triton", "wrapper": "serving:Wrapper"}, "params": {"scale": 255}})
    )
    (tmp_path / "thing" / "serving.py").write_text((champion / "code" / "serving.py").read_text().replace("/ self.scale", "* -1"))
    evaluation, _ = judged(model, champion=str(champion), champion_version="1")
    assert evaluation["champion"]["not_comparable"] == "" and evaluation["champion"]["disagreement"]["differ"] > 0


@pytest.mark.parametrize(
    ("file", "spec", "wanted"),
    [
        ("odds", {"output": {"scores": "probabilities"}}, (0, 1, 2)),
        ("two", {"output": {"name": "scores"}}, (0, 1, 2)),
        ("good", {"data": {"classes": ["red", "green", "blue"]}}, ("red", "green", "blue")),
        ("external", {}, (0, 1, 2)),
    ],
)
def test_the_answer_is_found_in_what_the_graph_gives(brought: Any, files: Path, file: str, spec: Any, wanted: Any) -> None:
    table = rows(files)
    table["y"] = [wanted[label] for label in table["y"]]
    model = brought(file, table, **spec)
    shutil.copyfile(files / "weights.bin", model.home / "thing" / "weights.bin")
    evaluation, bundle = judged(model)
    assert Signature.read(bundle / "signature.json").classes == wanted
    assert evaluation["scores"]["accuracy"]["value"] == 1


def test_one_score_of_two_classes_is_a_sigmoid_s(brought: Any, files: Path) -> None:
    table = rows(files)
    table["y"] = (table[list("abcd")].to_numpy() @ np.load(files / "weights.npy")[:, 0] > 0).astype(int)
    evaluation, bundle = judged(brought("single", table))
    assert evaluation["scores"]["accuracy"]["value"] == 1
    assert Signature.read(bundle / "signature.json").output("probabilities").shape == (-1, 2)


def test_a_number_a_row_is_a_prediction(brought: Any, files: Path) -> None:
    table = rows(files)
    table["y"] = table[list("abcd")].to_numpy() @ np.load(files / "weights.npy")[:, 0]
    evaluation, bundle = judged(brought("number", table, task="regression"))
    assert evaluation["scores"]["r2"]["value"] > 0.999
    assert [one.name for one in Signature.read(bundle / "signature.json").outputs] == ["prediction"]


def test_a_row_may_have_several_labels_or_none(brought: Any, files: Path) -> None:
    table = rows(files)
    scores = table[list("abcd")].to_numpy() @ np.load(files / "weights.npy")
    names = ["cheap", "fast", "late"]
    right = [[name for name, score in zip(names, row, strict=True) if score >= 0] for row in scores]
    evaluation, bundle = through(brought("good", table.assign(y=right), "", "multilabel", {"classes": names}))
    assert evaluation["metric"] == "f1_macro" and {"f1/late", "exact_match", "jaccard"} <= set(evaluation["scores"])
    assert evaluation["scores"]["f1_macro"]["value"] == 1.0
    signature, golden = Signature.read(bundle / "signature.json"), Golden.read(bundle / "golden.json")
    assert signature.classes == tuple(names) and [tensor.name for tensor in signature.outputs] == ["label", "probabilities"]
    said = {tensor["name"]: tensor["data"] for tensor in golden.outputs}
    odds = np.reshape(said["probabilities"], (-1, 3))
    assert said["label"] == ["|".join(name for name, odd in zip(names, row, strict=True) if odd >= 0.5) for row in odds]
    assert "" in {"|".join(one) for one in right} and len(set(said["label"])) > 2


def test_arrays_go_to_the_inputs_of_their_names(brought: Any, files: Path) -> None:
    table = rows(files)
    arrays = table[list("abcd")].to_numpy()
    table = pd.DataFrame({"left": list(arrays[:, :2]), "right": list(arrays[:, 2:]), "y": table["y"]})
    evaluation, bundle = judged(brought("columns", table))
    assert evaluation["scores"]["accuracy"]["value"] == 1
    assert [(one.name, one.shape) for one in Signature.read(bundle / "signature.json").inputs] == [("left", (-1, 2)), ("right", (-1, 2))]


def test_eight_bits_that_are_not_the_model_are_not_served_and_the_layer_is_named(brought: Any, files: Path) -> None:
    table = rows(files)
    table["y"] = (table[list("abcd")].to_numpy() @ np.load(files / "deciding.npy")).argmax(1)
    _, bundle = through(brought("coarse", table))
    optimization = json.loads((bundle / "optimization.json").read_text())
    [int8] = [row for row in optimization["candidates"] if row["name"] == "int8"]
    assert optimization["chosen"] != "int8" and not int8["accurate"]
    assert "held-out rows get the original's class" in int8["mismatches"][0]
    assert "its values differ most behind MatMul second" in int8["mismatches"][-1]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("not_a_number", "its weights 'w' hold NaN in"),
        ("custom", "acme.ops::Magic"),
        ("newer", "opset 99"),
        ("fixed", "its first dimension is not the batch, or is fixed"),
        ("batch", "hangs on the rows beside it"),
        ("baked", "does not answer 3 rows"),
        ("junk", "is no ONNX file"),
        ("empty", "is empty"),
        ("external", "its weights lie in 'weights.bin', which is not in the model's folder"),
        ("odds", "says `logits`, and every row of 'probabilities' sums to 1"),
        ("two", "the outputs scores, probabilities, and which holds the answer is not said"),
        ("single", "has shape [3, 1] for 3 rows and 3 classes"),
        ("columns", "takes an input 'left', and no column is called so"),
    ],
)
def test_what_can_not_be_served_is_refused_by_name(brought: Any, files: Path, file: str, says: str) -> None:
    spec = {"data": {"classes": [0, 1, 2]}} if file == "single" else {}
    assert says in refused(brought(file, rows(files), **spec))


def test_texts_as_classes_need_their_order(brought: Any, files: Path) -> None:
    table = rows(files)
    assert "data.classes" in refused(brought("good", table.assign(y=table["y"].map(str).radd("class "))))


def test_weights_are_not_fetched_from_elsewhere(brought: Any, files: Path) -> None:
    model = brought("external", rows(files))
    (model.home / "thing" / "weights.bin").symlink_to(files / "weights.bin")
    assert "is a symbolic link" in refused(model)


def test_code_that_gives_another_input_is_told_so(brought: Any, files: Path) -> None:
    photos = pd.DataFrame({"photo": [png(np.full((4, 4), 10 * n)) for n in range(20)], "y": [n % 3 for n in range(20)]})
    model = brought("good", photos, PICTURES.replace('{"x":', '{"pixels":'), data={"images": {"photo": {"mode": "L"}}})
    assert "before() gives 'pixels', and the model's input is 'x'" in refused(model)


def test_pictures_are_kept_by_their_bytes_and_judged_by_what_is_seen_of_them(brought: Any, files: Path) -> None:
    table = pd.DataFrame({"photo": [f"photos/{n}.png" for n in range(20)], "y": [n % 3 for n in range(20)]})
    model = brought("good", table, PICTURES, data={"images": {"photo": {"mode": "L"}}})
    folder = model.home / "thing" / "photos"
    folder.mkdir()
    for n in range(20):
        (folder / f"{n}.png").write_bytes(png(np.full((4, 6), n * 10)))
    done = model.step("extract")
    assert done.result, done.message
    kept, profile = pd.read_parquet(done.result["table"]), pd.read_parquet(done.result["profile"])
    assert kept["photo"][3] == (folder / "3.png").read_bytes()
    assert profile["photo.width"].tolist() == [6] * 20 and profile["photo.alike"].tolist() == [19] * 20
    assert "held-out pictures look like one that is trained on" in " ".join(done.result["notes"])
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_bytes(b"no picture")
    (folder / "5.png").unlink()
    (folder / "5.png").symlink_to("/etc/passwd")
    message = model.step("extract").message
    assert "holds 3 picture(s)" in message and "row 4 (photos/3.png): is empty" in message and "symbolic link" in message


def png(array: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array.astype("uint8")).save(file, "PNG")
    return file.getvalue()


def test_the_server_answers_what_the_steps_recorded(brought: Any, files: Path, stage: Stage) -> None:
    """Pictures of several kinds, as callers send them: the same code under another Python environment gives the same answers."""
    chance = np.random.default_rng(2)
    photos = [chance.integers(0, 256, (9 + n, 7, 3 + n % 2)) for n in range(24)]
    table = pd.DataFrame({"photo": [png(photo) for photo in photos], "y": [n % 3 for n in range(24)]})
    model = brought("good", table, PICTURES, data={"images": {"photo": {"mode": "L"}}}, gate={"min_score": 0})
    _, bundle = through(model)
    spec = load(model.home / "thing" / "model.yaml")
    complete(bundle, model.home / "thing", spec.serve, {})
    assert not list((bundle / "code").rglob("*.onnx")) and (bundle / "code" / "serving.py").is_file()
    revision = stage.backend.start(bundle, "thing", "1", spec.serve, {})
    try:
        verdict = kind_of(spec).probe(revision.url, stage.key(revision), "thing", bundle, spec.serve)
        assert verdict.decision is Decision.PASS, verdict.reasons
        about = json.loads(describe(bundle, "thing", "1"))
        assert about["parameters"]["images"] == {"photo": {"mode": "L", "max_megapixels": 25.0}}
        answer = httpx.post(f"{revision.url}/v2/models/thing/infer", json=about["example"], headers=stage.key(revision), timeout=20)
        assert answer.status_code == 200, answer.text
    finally:
        stage.backend.stop(revision)
