"""A model with the code around it, run here as the server will run it: pictures opened, ``before``, ONNX Runtime, ``after``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.bundles.signature import INPUT, Signature
from include.errors import InputError
from include.kinds.forms.onnx_model import OnnxModel, Tensors
from include.kinds.tensor.columns import Column, Holds
from include.kinds.tensor.wrapper import Wrapper, before
from include.spec.problem import nearest
from include.steps.user_code import explained

if TYPE_CHECKING:
    import pandas as pd

_OUT_OF_TABLE = re.compile(r"indices element out of data bounds, idx=(-?\d+) must be within the inclusive range \[-?\d+,(\d+)\]")
"""ONNX Runtime's words where a table of embeddings has no such row."""
BATCH = 64
"""Rows that are asked at once: pictures are large."""


class Pipeline(OnnxModel):
    """``columns``: the features of rows that it is asked about; ``code``: the folder of the ``wrapper``."""

    batch = BATCH

    def __init__(self, path: Path, signature: Signature, columns: Sequence[Column], wrapper: Wrapper | None, code: Path) -> None:
        super().__init__(path, signature)
        self._columns, self._wrapper, self._code = columns, wrapper, code
        self.session = self._session
        self.graph_inputs = list(self._session.get_inputs())

    def tensors(self, x: pd.DataFrame) -> Tensors:
        """Return the features ``x`` as callers send them."""
        return to_sent(self._columns, self.signature, x)

    def before(self, sent: Tensors) -> Tensors:
        """Return the graph's inputs for what callers have ``sent``. InputError where they are not what the graph takes."""
        if self._wrapper is None:
            return sent
        made = before(self._wrapper, self.signature.images, sent, self._code)
        names = [node.name for node in self.graph_inputs]
        for name in names:
            if name not in made:
                near = nearest(name, list(made))
                what = f"before() gives {', '.join(map(repr, made))}, and the model's input is {name!r}."
                remedy = f"Return a dict with {', '.join(map(repr, names))}." + (f" Is it {near!r}?" if near else "")
                raise InputError(what, where="serve.wrapper", remedy=remedy)
        return {name: made[name] for name in names}

    def infer(self, given: Tensors) -> Tensors:
        """Return the graph's outputs for its inputs."""
        names = [node.name for node in self._session.get_outputs()]
        try:
            answers = self._session.run(names, {node.name: given[node.name] for node in self.graph_inputs})
        except Exception as error:  # ONNX Runtime's own
            if not (found := _OUT_OF_TABLE.search(str(error))):
                raise
            what = f"gives the number {found[1]}, and the graph's table of them ends at {found[2]}: it is not the tokenizer of this model."
            raise InputError(
                what, where="before() in serve.wrapper", remedy="Take the tokenizer that the model was trained with."
            ) from None
        return dict(zip(names, answers, strict=True))

    def after(self, outputs: Tensors) -> Tensors:
        """Return what callers get for the graph's outputs."""
        import numpy as np

        if self._wrapper is None:
            return outputs
        with explained(self._code, "after() of the wrapper"):
            made = self._wrapper.after(outputs)
        if not isinstance(made, dict):
            what = f"after() gives a {type(made).__name__}."
            raise InputError(what, where="serve.wrapper", remedy="Return a dict of arrays by name, the first dimension the batch.")
        return {str(name): np.asarray(array) for name, array in made.items()}

    def run(self, tensors: Tensors) -> Tensors:
        return self.after(self.infer(self.before(tensors)))


def to_sent(columns: Sequence[Column], signature: Signature, x: pd.DataFrame) -> Tensors:
    """Return the features ``x`` as the tensors of ``signature`` that callers send: one of all columns, or one a column."""
    import numpy as np

    if [tensor.name for tensor in signature.inputs] == [INPUT] and list(signature.features) != [INPUT]:
        whole = np.stack([x[column.name].to_numpy(dtype="float64") for column in columns], axis=1)
        return {INPUT: np.ascontiguousarray(whole.astype(signature.inputs[0].dtype))}
    found = {}
    for column, tensor in zip(columns, signature.inputs, strict=True):
        array = column.array(x[column.name])
        if column.holds is not Holds.PICTURE and column.datatype != "BYTES":
            array = array.astype(tensor.dtype)
        found[tensor.name] = array.reshape(len(x), *(column.shape if len(tensor.shape) > 1 else ()))
    return found
