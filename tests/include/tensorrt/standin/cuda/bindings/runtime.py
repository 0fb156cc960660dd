"""A cudart that is none, as cuda.bindings tells it (every call returns a tuple that begins with its error): the "device" is this process's
memory. Reference: CUDA Runtime API, cuda.bindings."""

import ctypes
from enum import IntEnum


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


memory = {}
"""Address → (buffer, size)."""


def cudaStreamCreate():
    return cudaError_t.cudaSuccess, 7


def cudaStreamSynchronize(stream):
    return (cudaError_t.cudaSuccess if int(stream) == 7 else cudaError_t.cudaErrorInvalidValue,)


def cudaMalloc(size):
    buffer = ctypes.create_string_buffer(size)
    address = ctypes.addressof(buffer)
    memory[address] = (buffer, size)
    return cudaError_t.cudaSuccess, address


def cudaMemcpy(dst, src, count, kind):
    device = dst if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else src
    if device not in memory or count > memory[device][1]:
        return (cudaError_t.cudaErrorInvalidValue,)
    ctypes.memmove(dst, src, count)
    return (cudaError_t.cudaSuccess,)


def cudaGetErrorName(error):
    return cudaError_t.cudaSuccess, error.name.encode()
