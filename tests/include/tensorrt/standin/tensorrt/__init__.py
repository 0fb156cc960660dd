"""A TensorRT that is none: what Updraft calls of the Python API, answered as NVIDIA's reference for 10 and 11 says, engines run by ONNX
Runtime on the processor. Its plans are bound to the pretended GPU and version (machine.py) as real ones are.

Like TensorRT 11 it knows strongly typed networks only: no precision flags, no calibrator.
"""

import ctypes
import json
from enum import IntEnum

import machine
import numpy as np
from cuda.bindings import runtime as cuda

MAGIC = b"ftrt"


def __getattr__(name):
    if name == "__version__":
        return machine.version()
    raise AttributeError(name)


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self):
        self.ready = True

    def log(self, severity, msg):
        raise NotImplementedError


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class BuilderFlag(IntEnum):
    TF32 = 7


class TensorIOMode(IntEnum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(IntEnum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64 = range(9)


def nptype(dtype):
    return {DataType.FLOAT: np.float32, DataType.INT64: np.int64}[dtype]


class IHostMemory:
    """Anything that ``bytes()`` reads."""

    def __init__(self, content):
        self._content = content

    def __bytes__(self):
        return self._content


class Builder:
    def __init__(self, logger):
        assert isinstance(logger, ILogger) and logger.ready, "ILogger.__init__ must be called"
        self.logger = logger

    def create_network(self, flags=0):
        assert flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return Network()

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        if not config.profiles:
            self.logger.log(ILogger.Severity.ERROR, "Network has dynamic or shape inputs, but no optimization profile has been defined.")
            return None
        config.cache.timed += 1
        header = {"gpu": machine.gpu(), "version": machine.version(), "profiles": [profile.shapes for profile in config.profiles]}
        head = json.dumps(header).encode()
        return IHostMemory(MAGIC + len(head).to_bytes(4, "little") + head + network.model)


class Network:
    model = b""

    @property
    def num_inputs(self):
        return len(self.inputs)

    def get_input(self, index):
        return self.inputs[index]


class Tensor:
    def __init__(self, info):
        kinds = {1: DataType.FLOAT, 7: DataType.INT64}
        self.name, self.dtype = info.name, kinds[info.type.tensor_type.elem_type]
        self.shape = tuple(size.dim_value or -1 for size in info.type.tensor_type.shape.dim)


class Error:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class OnnxParser:
    def __init__(self, network, logger):
        self.network, self._errors = network, []

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]

    def parse(self, model):
        import onnx

        graph = onnx.load_from_string(model).graph
        unknown = [node.op_type for node in graph.node if node.domain not in ("", "ai.onnx")]
        for tensor in graph.initializer:
            if tensor.data_type == onnx.TensorProto.STRING:
                unknown.append("string initializer")
        if unknown:
            self._errors = [Error(f"No importer registered for op: {name}") for name in unknown]
            return False
        self.network.model, self.network.inputs = model, [Tensor(info) for info in graph.input]
        return True


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        if not all(low <= middle <= high for low, middle, high in zip(min, opt, max, strict=True)):
            raise ValueError("invalid shapes")
        self.shapes[input] = [list(min), list(opt), list(max)]


class TimingCache:
    def __init__(self, content):
        self.timed = int(content or b"0")

    def serialize(self):
        return IHostMemory(str(self.timed).encode())


class Config:
    def __init__(self):
        self.profiles, self.cache, self.flags = [], None, {BuilderFlag.TF32}

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool is MemoryPoolType.WORKSPACE and pool_size > 0

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        return TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


class Runtime:
    def __init__(self, logger):
        assert isinstance(logger, ILogger) and logger.ready
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        size = int.from_bytes(serialized_engine[4:8], "little")
        header = json.loads(serialized_engine[8 : 8 + size])
        if header["gpu"] != json.loads(json.dumps(machine.gpu())) or header["version"] != machine.version():
            self.logger.log(ILogger.Severity.ERROR, "The engine plan file is not compatible with this device or version of TensorRT.")
            return None
        return Engine(serialized_engine[8 + size :], header["profiles"])


class Engine:
    def __init__(self, model, profiles):
        import onnx

        graph = onnx.load_from_string(model).graph
        self.model, self.profiles, self.used = model, profiles, set()
        self.inputs, self.outputs = ([Tensor(info) for info in part] for part in (graph.input, graph.output))
        self._by_name = {tensor.name: tensor for tensor in (*self.inputs, *self.outputs)}

    @property
    def num_io_tensors(self):
        return len(self._by_name)

    def get_tensor_name(self, index):
        return list(self._by_name)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._by_name[name] in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._by_name[name].shape

    def get_tensor_dtype(self, name):
        return self._by_name[name].dtype

    def create_execution_context(self):
        return Context(self)


class Context:
    def __init__(self, engine):
        import onnxruntime

        self._engine, self._shapes, self._addresses = engine, {}, {}
        self._profile, self._known = None, {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(engine.model, options, providers=["CPUExecutionProvider"])

    def set_optimization_profile_async(self, profile_index, stream_handle):
        assert profile_index not in self._engine.used, "the profile is another context's"
        self._engine.used.add(profile_index)
        self._profile = self._engine.profiles[profile_index]
        return True

    def set_input_shape(self, name, shape):
        low, _, high = self._profile[name]
        if not all(least <= size <= most for least, size, most in zip(low, shape, high, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        engine = self._engine
        if set(self._addresses) != {tensor.name for tensor in (*engine.inputs, *engine.outputs)}:
            return False
        if {tensor.name for tensor in engine.inputs} - set(self._shapes):
            return False
        given = {tensor.name: self._read(tensor) for tensor in engine.inputs}
        names = [tensor.name for tensor in engine.outputs]
        asked = b"".join(array.tobytes() for array in given.values())
        if asked not in self._known:  # as fast as a GPU, when it is asked the same again
            self._known[asked] = self._session.run(names, given)
        for name, array in zip(names, self._known[asked], strict=True):
            content = np.ascontiguousarray(array)
            assert content.nbytes <= cuda.memory[self._addresses[name]][1]
            ctypes.memmove(self._addresses[name], content.ctypes.data, content.nbytes)
        return True

    def _read(self, tensor):
        shape = self._shapes[tensor.name]
        array = np.empty(shape, nptype(tensor.dtype))
        assert self._addresses[tensor.name] in cuda.memory
        ctypes.memmove(array.ctypes.data, self._addresses[tensor.name], array.nbytes)
        return array
