"""Where the workers of one node find each other: files of the step's own.

torchrun's agent and workers otherwise meet in TCP stores without a password, at ports that every process of the machine may connect to; the
agent unpickles what it finds in its own.
"""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

STORES = "UPDRAFT_STORES"
"""The folder of the stores, in the environment of workers that meet in files."""


@contextmanager
def place() -> Iterator[Path]:
    """A folder for the stores of one launch, which nobody else may enter (mode 0700); it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="stores-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path) -> dict[str, str]:
    """For torchrun: its agent opens no store for the workers, and they know theirs."""
    return {STORES: str(folder), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def arguments(folder: Path) -> list[str]:
    """For torchrun: where its agent keeps what it agrees with itself."""
    return ["--nnodes=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={folder / 'agent'}", "--rdzv-conf=store_type=file"]


def in_files() -> None:
    """Let ``torch.distributed.init_process_group()`` of this worker, which means ``env://`` by itself, meet the others in files.

    Nothing changes where the environment names no folder. ``MASTER_ADDR`` and ``MASTER_PORT`` stay, and nobody listens there.
    """
    folder = os.environ.get(STORES)
    if folder is None:
        return
    times = itertools.count()  # a group that is opened again finds nothing of the last one

    def handler(url: str, timeout: timedelta = timedelta(minutes=30), **_: Any) -> Iterator[tuple[Any, int, int]]:
        from torch.distributed import FileStore

        said = {name: values[0] for name, values in parse_qs(urlparse(url).query).items()}
        rank, world = (int(said.get(name.lower()) or os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
        store = FileStore(f"{folder}/workers-{next(times)}", world)
        store.set_timeout(timeout)
        yield store, rank, world
        raise RuntimeError("a process group of env:// does not meet again")

    # The module, which a function of the package hides. Registering a scheme anew is refused; torch has no other way to replace one.
    importlib.import_module("torch.distributed.rendezvous")._rendezvous_handlers["env"] = handler
