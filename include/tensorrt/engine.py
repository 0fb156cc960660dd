"""A plan, run by TensorRT on the GPU that this process sees: rows in, rows out, as the server will run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import ComponentError
from include.tensorrt.build import log
from include.tensorrt.plan import Batches

if TYPE_CHECKING:
    import numpy.typing as npt

Tensors = dict[str, "npt.NDArray[Any]"]


class Engine:
    """The deserialised plan with room on the GPU for its largest batch. Check its sheet first: a plan of another GPU must not be loaded.

    ComponentError when TensorRT refuses it, or CUDA fails.
    """

    def __init__(self, plan: Path, batches: Batches) -> None:
        import tensorrt as trt
        from cuda.bindings import runtime as cuda

        self._trt, self._cuda, self._batches, self._where = trt, cuda, batches, str(plan)
        self._log = log(trt)
        self._runtime = trt.Runtime(self._log)
        engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if engine is None:
            raise ComponentError(f"TensorRT refuses the plan: {'; '.join(self._log.said[-3:])}", where=str(plan))
        self._engine = engine
        self._stream = self._done(cuda.cudaStreamCreate())
        self._contexts: dict[int, Any] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._room: dict[str, Any] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            held = self._inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else self._outputs
            held.append(name)
            self._room[name] = self._done(cuda.cudaMalloc(self._shape(name, batches.most, bytes_=True)))

    def run(self, tensors: Tensors) -> Tensors:
        """Outputs by name for inputs by name; more rows than the largest batch go one batch after the other."""
        import numpy as np

        rows = len(next(iter(tensors.values())))
        most = self._batches.most
        parts = [self._batch({name: array[start : start + most] for name, array in tensors.items()}) for start in range(0, rows, most)]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _batch(self, tensors: Tensors) -> Tensors:
        import numpy as np

        cuda, rows = self._cuda, len(next(iter(tensors.values())))
        context = self._context(self._batches.profile_of(rows))
        for name in self._inputs:
            array = np.ascontiguousarray(tensors[name], dtype=self._dtype(name))
            context.set_input_shape(name, array.shape)
            kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._done(cuda.cudaMemcpy(self._room[name], array.ctypes.data, array.nbytes, kind))
        if not context.execute_async_v3(int(self._stream)):
            raise ComponentError(f"TensorRT could not run it: {'; '.join(self._log.said[-3:])}", where=self._where)
        self._done(cuda.cudaStreamSynchronize(self._stream))
        answers = {name: np.empty(self._shape(name, rows), self._dtype(name)) for name in self._outputs}
        for name, array in answers.items():
            kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._done(cuda.cudaMemcpy(array.ctypes.data, self._room[name], array.nbytes, kind))
        return answers

    def _context(self, profile: int) -> Any:
        """The execution context of an optimisation profile: two contexts can't share one."""
        if profile not in self._contexts:
            context = self._engine.create_execution_context()
            if context is None:
                raise ComponentError(f"the GPU has no room for it: {'; '.join(self._log.said[-3:])}", where=self._where)
            context.set_optimization_profile_async(profile, int(self._stream))
            self._done(self._cuda.cudaStreamSynchronize(self._stream))
            for name, address in self._room.items():
                context.set_tensor_address(name, int(address))
            self._contexts[profile] = context
        return self._contexts[profile]

    def _shape(self, name: str, rows: int, *, bytes_: bool = False) -> Any:
        """Of a tensor with so many rows; or the bytes that it takes."""
        import math

        shape = tuple(rows if size < 0 else size for size in self._engine.get_tensor_shape(name))
        return math.prod(shape) * self._dtype(name).itemsize if bytes_ else shape

    def _dtype(self, name: str) -> Any:
        import numpy as np

        return np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))

    def _done(self, answer: Any) -> Any:
        """What a call of CUDA's runtime returned behind its error code."""
        error, *values = answer
        if error != self._cuda.cudaError_t.cudaSuccess:
            _, name = self._cuda.cudaGetErrorName(error)
            raise ComponentError(f"CUDA: {name.decode() if isinstance(name, bytes) else name}", where=self._where)
        return values[0] if values else None
