"""The GPU that the stand-ins pretend: by ``STANDIN_GPU`` (``name|major.minor``) and ``STANDIN_TENSORRT`` (version). None without them."""

import os


def gpu():
    name, _, capability = os.environ.get("STANDIN_GPU", "").partition("|")
    return (name, tuple(int(part) for part in capability.split("."))) if name else None


def version():
    return os.environ.get("STANDIN_TENSORRT", "11.4.0.106")
