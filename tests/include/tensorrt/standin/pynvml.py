"""What ``include/tensorrt/gpu.py`` calls of pynvml, in a runtime that lacks it. (Over pynvml itself: test_gpu.py.)"""

import machine


class NVMLError(Exception):
    pass


def nvmlInit():
    if machine.gpu() is None:
        raise NVMLError("NVML Shared Library Not Found")


def nvmlShutdown():
    pass


def nvmlDeviceGetHandleByIndex(index):
    if index:
        raise NVMLError("Invalid Argument")
    return machine.gpu()


def nvmlDeviceGetHandleByUUID(uuid):
    if not uuid.startswith("GPU-"):
        raise NVMLError("Not Found")
    return machine.gpu()


def nvmlDeviceGetName(handle):
    return handle[0]


def nvmlDeviceGetCudaComputeCapability(handle):
    return list(handle[1])
