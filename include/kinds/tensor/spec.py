"""The model spec of a model of named tensors.

Every field's description is what a user reads in the JSON schema, in the editor and in the trigger form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from include.spec.choice import choice, serves
from include.spec.data import Data
from include.spec.parts import EntryPoint, Params, Part, RelativeFile, Resources, as_tuple
from include.spec.schema import Optimize, OptimizeMethod, Spec, TableCanary, Task, Workers
from include.spec.serve import TENSOR, Serve


class Pictures(Part):
    """How the pictures of a column are read, in training and by the server."""

    mode: Literal["RGB", "L"] = "RGB"
    """Colours that `serving.py` gets: `RGB`, or `L` for grey. What is transparent is laid on white; a photo stands as its EXIF says."""
    max_megapixels: Annotated[float, Field(gt=0, le=500)] = 25
    """A larger picture is refused before it is decoded."""


class Texts(Part):
    """Which texts of a column are taken, in the data and by the server."""

    max_characters: Annotated[int, Field(ge=1, le=4_000_000)] = 10_000
    """A longer text is refused before `before` sees it."""
    blank: bool = False
    """Whether an empty text, or one of spaces alone, is taken."""


class TensorData(Data):
    images: dict[str, Pictures] = Field(default_factory=dict)
    """Columns that hold pictures: paths of files in the model's folder, or their bytes (PNG, JPEG, WebP, BMP, GIF)."""
    texts: dict[str, Texts] = Field(default_factory=dict)
    """Columns that hold texts for people, and which of them are taken. Without it texts reach `before` in any length."""
    classes: Annotated[tuple[int | str, ...], BeforeValidator(as_tuple)] = ()
    """The classes in the order of the model's scores. Default: the target's own, sorted; of a brought file they must be 0, 1, 2, ..."""


class Output(Part):
    """How the model's answer is read. A graph, or `after` in `serving.py`, that itself gives `label` or `prediction` needs none of it."""

    name: str | None = None
    """The output that holds a score for each class (classification) or the number (regression). Default: the only one."""
    scores: Literal["logits", "probabilities"] = "logits"
    """What the scores are: `logits` get a softmax (one alone, of two classes, and those of `multilabel`, a sigmoid), `probabilities` are
    taken as they are."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """From which probability on a row is given a label (`multilabel`)."""


class TensorTrain(Workers):
    entry: EntryPoint = "train:train"
    """`def train(data: torch.utils.data.TensorDataset, params: dict) -> torch.nn.Module`. An item of `data` is the model's inputs in order,
    then what is right: the number of the class, a number, or (`multilabel`) 1.0 for each of the classes that the row has and else 0.0.
    `data.classes` has the classes, `data.inputs` the inputs' names."""
    runtime: Literal["torch"] = "torch"
    """Environment the function runs in: `docker/torch/requirements.txt` (`make install-torch`)."""
    params: Params = Field(default_factory=dict)
    """Hyperparameters, each a field of the trigger form."""
    timeout_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 60
    """Training that takes longer is stopped and fails. Time spent waiting for a GPU doesn't count."""
    resources: Resources | None = None
    """GPUs that training needs. It waits for them without a worker slot."""


class TensorOptimize(Optimize):
    methods: tuple[Literal[OptimizeMethod.GRAPH, OptimizeMethod.INT8], ...] = (OptimizeMethod.GRAPH, OptimizeMethod.INT8)
    """Forms to try, by ONNX Runtime; the fastest that passes parity is served, the model as it came otherwise."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.98
    """Share of the held-out rows that an 8-bit form must give the class of the original (classification)."""
    min_cosine: Annotated[float, Field(ge=0, le=1)] = 0.99
    """The mean cosine of what an 8-bit form and the original answer must reach this: of each row's probabilities, of all rows' numbers."""


if TYPE_CHECKING:
    _Serve = Serve
else:
    _Serve = choice(TENSOR)


class TensorSpec(Spec):
    """A model of named tensors: a network of PyTorch, or an ONNX file that is brought; a class or a number for each row."""

    kind: Literal["tensor"]
    """What kind of model it is."""
    task: Literal[Task.CLASSIFICATION, Task.REGRESSION, Task.MULTILABEL]
    """What the model predicts: a class, a number, or several labels of each row (`multilabel`; the target is a list of them, or a text
    `late|urgent`)."""
    base: RelativeFile | None = None
    """An ONNX file in the model's folder that is taken as it is, or the ONNX flavour of a version in MLflow's registry
    (`models:/<name>/<version>`): nothing is trained."""
    data: TensorData
    output: Output = Output()
    train: TensorTrain = TensorTrain()
    optimize: TensorOptimize = TensorOptimize()
    serve: _Serve = Field(default_factory=serves(TENSOR)[0], validate_default=True)
    canary: TableCanary = TableCanary()

    @property
    def turns_at(self) -> float | None:
        return self.output.threshold if self.task is Task.MULTILABEL else None
