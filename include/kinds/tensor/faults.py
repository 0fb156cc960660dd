"""How the fields of a tensor model's spec must fit together, and the files that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from include.kinds.metric_faults import metric_faults
from include.kinds.rows.faults import column_names, data_files, metric_file
from include.kinds.tensor.spec import TensorSpec
from include.spec.document import Fault
from include.spec.faults import twice
from include.spec.files import entry_fault, file_fault
from include.spec.registered import is_registered, version_fault
from include.spec.schema import Task, TensorRt

ONNX = ".onnx"


def faults(spec: TensorSpec) -> Iterator[Fault]:
    """Yield everything that contradicts itself in ``spec``, besides what is wrong in any spec."""
    yield from column_names(spec.data)
    yield from metric_faults(spec)
    yield from _of_tables(spec)
    for name in twice(spec.data.classes):
        yield ("data", "classes"), f"names {name!r} twice.", {"remedy": "Keep one."}
    if spec.data.classes and spec.task is Task.REGRESSION:
        yield ("data", "classes"), "belongs to `task: classification`.", {"remedy": "Take it out, or correct the task."}
    if len({type(label) for label in spec.data.classes}) > 1:
        yield ("data", "classes"), "mixes numbers and texts.", {"remedy": "Write all in quotes, or none."}
    for method in twice(spec.optimize.methods):
        yield ("optimize", "methods"), f"names {str(method)!r} twice.", {"remedy": "Keep one."}
    yield from _images(spec)
    yield from _texts(spec)


def _of_tables(spec: TensorSpec) -> Iterator[Fault]:
    """What a table model's spec may have, and nothing here would come of."""
    if spec.data.production is not None:
        remedy = "Take it out, and have the data source give such rows."
        yield ("data", "production"), "is of `kind: table`: no row of a log is learnt from here.", {"remedy": remedy}
    if spec.optimize.tensorrt != TensorRt():
        yield ("optimize", "tensorrt"), "is of `kind: table`: no TensorRT plan is made of this model.", {"remedy": "Take it out."}
    if spec.optimize.resources is not None:
        yield ("optimize", "resources"), "asks for a GPU, and no form of this model is made on one.", {"remedy": "Take it out."}


def _unseen(spec: TensorSpec, field: str, names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        if name in (spec.data.target, *spec.data.exclude) or (spec.data.features is not None and name not in spec.data.features):
            yield ("data", field, name), "is no column that the model sees.", {"remedy": "Take it out, or make it a feature."}


def _texts(spec: TensorSpec) -> Iterator[Fault]:
    yield from _unseen(spec, "texts", spec.data.texts)
    for name in spec.data.texts:
        if name in spec.data.images:
            yield ("data", "texts", name), "is a column of pictures as well.", {"remedy": "Keep it in one of `images` and `texts`."}


def _images(spec: TensorSpec) -> Iterator[Fault]:
    yield from _unseen(spec, "images", spec.data.images)
    if spec.data.images and not spec.serve.with_code:
        what = "turns files into pictures, and nothing turns pictures into the model's tensors."
        remedy = "Write `serve.wrapper: serving:Wrapper`, a class whose `before(inputs)` gives the model's inputs."
        yield ("data", "images"), what, {"remedy": remedy}


def file_faults(spec: TensorSpec, folder: Path) -> Iterator[Fault]:
    """Yield every file or entry point of ``spec`` that is not as it must be in ``folder``."""
    yield from data_files(spec.data, folder)
    yield from metric_file(spec, folder)
    if spec.base is None:
        yield from entry_fault(("train", "entry"), spec.train.entry, folder, arguments=2)
    elif is_registered(spec.base):
        yield from version_fault(("base",), spec.base)
    elif Path(spec.base).suffix != ONNX:
        yield ("base",), f"{spec.base[:80]!r} is no .onnx file.", {"remedy": "Export the model to ONNX (docs/your-own-model.md)."}
    else:
        yield from file_fault(("base",), spec.base, folder)
