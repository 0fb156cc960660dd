"""A form of a model run here as the server will run it: same tensors, same types. An ONNX model by ONNX Runtime on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.signature import INPUT, LABEL, PREDICTION, PROBABILITIES, Signature
from include.errors import ComponentError
from include.kinds.rows.answers import Answers, labels

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

BATCH = 1024
Tensors = dict[str, "npt.NDArray[Any]"]


class TensorModel(ABC):
    """A form of the model that takes and gives the tensors of ``signature``."""

    signature: Signature
    batch = BATCH
    """Rows that it is asked about at once."""

    @abstractmethod
    def run(self, tensors: Tensors) -> Tensors:
        """Outputs by name for inputs by name."""

    def tensors(self, x: pd.DataFrame) -> Tensors:
        """The rows of ``x`` as its input tensors."""
        return to_tensors(self.signature, x)

    def answers(self, x: pd.DataFrame) -> Answers:
        """What the model says about the rows of ``x`` (its features, in the table's convention)."""
        import numpy as np

        names = [tensor.name for tensor in self.signature.outputs]
        parts = [self.run(self.tensors(x.iloc[start : start + self.batch])) for start in range(0, len(x), self.batch)]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in names}
        if PREDICTION in whole:
            return Answers(whole[PREDICTION].reshape(len(x)).astype("float64"))
        probabilities = whole[PROBABILITIES].astype("float64") if PROBABILITIES in whole else None
        return Answers(labels(whole[LABEL].reshape(len(x))), probabilities, self.signature.classes)


class OnnxModel(TensorModel):
    """The model in ``path``, answering by ``signature``. One thread, so that what is measured does not hang on how many cores are idle."""

    def __init__(self, path: Path, signature: Signature) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.signature = signature
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ComponentError(f"ONNX Runtime cannot load it: {error}", where=str(path), remedy="Run the optimize step again.") from error
        self._names = [tensor.name for tensor in signature.outputs]
        self._inputs = [node.name for node in self._session.get_inputs()]

    def run(self, tensors: Tensors) -> Tensors:
        taken = {name: tensors[name] for name in self._inputs}  # not those that the model drops
        return dict(zip(self._names, self._session.run(self._names, taken), strict=True))


def to_tensors(signature: Signature, x: pd.DataFrame) -> Tensors:
    """The features ``x`` as the signature's input tensors; ValueError or TypeError when a column does not fit its type."""
    import numpy as np

    if len(signature.inputs) == 1 and signature.inputs[0].name == INPUT and signature.inputs[0].shape[-1] == x.shape[1]:
        return {INPUT: np.ascontiguousarray(x.to_numpy(dtype=signature.inputs[0].dtype))}
    return {
        tensor.name: x[name].to_numpy(dtype=tensor.dtype).reshape(-1, 1)
        for name, tensor in zip(signature.features, signature.inputs, strict=True)
    }
