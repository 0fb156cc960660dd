"""A process that holds GPU memory: what it is told on standard input, through the CUDA driver's own interface. No torch, no runtime.

Usage: ``python -m tests.gpu.holder``. It answers every line with a JSON line ``{"free", "total"}`` (bytes, cuMemGetInfo): the first when it
has its context, then one for each number that it reads, so many bytes having been allocated. It ends, and frees, with its input.
"""

from __future__ import annotations

import ctypes
import json
import sys


class Cuda:
    """The first visible GPU, by libcuda.so.1 (CUDA driver API reference)."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def allocate(self, size: int) -> None:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))

    def memory(self) -> dict[str, int]:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return {"free": free.value, "total": total.value}

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise SystemExit(f"{name} answered {status}")


def main() -> None:
    cuda = Cuda()
    print(json.dumps(cuda.memory()), flush=True)
    for line in sys.stdin:
        for size in map(int, line.split()):
            cuda.allocate(size)
        print(json.dumps(cuda.memory()), flush=True)


if __name__ == "__main__":
    main()
