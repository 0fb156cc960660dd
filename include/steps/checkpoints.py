"""A step tells that it has saved a checkpoint: whoever must stop for others then loses the work since, and the pool chooses by that.

Told by a file, which whoever follows the step reads: they may be on different machines, so no clock is in it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from include import atomic

FILE = ".saved"
VARIABLE = "UPDRAFT_CHECKPOINT_SAVED"
"""Names the file, where there is no folder for checkpoints."""


def saved() -> None:
    """Tell that a checkpoint has just been saved, whole. Of several workers the first alone says so. Where nobody listens, nothing happens.

    Raises OSError when the folder of the checkpoints can't be written to.
    """
    folder, file = os.environ.get("UPDRAFT_CHECKPOINTS"), os.environ.get(VARIABLE)
    path = Path(file) if file else Path(folder) / FILE if folder else None
    if path is not None:
        atomic.write(path, secrets.token_hex(8), mode=0o644)
