"""A version of MLflow's registry as the graph that is brought: its ONNX flavour. Nothing of it is unpickled, or run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.kinds.tensor import onnx_file
from include.spec.registered import is_registered

if TYPE_CHECKING:
    from onnx import ModelProto

FLAVOUR = "onnx"
MLMODEL = "MLmodel"
REMEDY = "Register it by mlflow.onnx.log_model, or export it and name the file: other flavours hold pickles, which are not opened here."


def read(folder: Path, base: str) -> ModelProto:
    """Return the graph that ``base`` of a spec names: a file in the model's ``folder``, or ``models:/<name>/<version>``.

    Raises InputError for a version that is not there or has no ONNX flavour, and as :func:`include.kinds.tensor.onnx_file.read`.
    """
    if not is_registered(base):
        return onnx_file.read(folder, base)
    with tempfile.TemporaryDirectory() as place:
        file = _file(base, Path(place))
        found = _fetched(base, Path(place))
        return onnx_file.read(found, file)


def _file(base: str, place: Path) -> str:
    """The name of the ONNX file in the version's folder, by its MLmodel."""
    import yaml

    described: Any = yaml.safe_load(_fetched(f"{base}/{MLMODEL}", place / "about").read_text())
    flavours = described.get("flavors", {}) if isinstance(described, dict) else {}
    found = flavours.get(FLAVOUR)
    if not isinstance(found, dict) or not isinstance(found.get("data"), str):
        what = f"{base} has the flavours {', '.join(sorted(map(str, flavours))) or 'of nothing'}, and {FLAVOUR} is not among them."
        raise InputError(what, where="base", remedy=REMEDY)
    # MLflow keeps a model whose weights lie beside it in a folder.
    return str(found["data"])


def _fetched(uri: str, place: Path) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    place.mkdir(parents=True, exist_ok=True)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(place)))
    except MlflowException as error:
        raise InputError(f"MLflow has no such model: {error}", where="base", remedy="Name a version as its registry shows it.") from None
