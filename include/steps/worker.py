"""One of a step's workers: ``python -m include.steps.worker FOLDER``, with torchrun's environment (RANK, WORLD_SIZE, ...)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from include.errors import UpdraftError
from include.runtime.parent import die_with
from include.steps import ending, gang, lease, meeting
from include.steps.body import body
from include.steps.context import StepContext, StepRequest

GONE = re.compile(r"connection (was )?(closed|reset|refused|aborted)|peer|gloo|nccl|socket|tcpstore|timed out|watchdog", re.IGNORECASE)
"""What torch says when another worker has gone."""
TORCH_S = ("DistBackendError", "DistNetworkError", "DistStoreError")


def main(folder: Path) -> int:
    """The exit status. A worker that only saw another one go says so, and no more: its error is not its own."""
    die_with(int(os.environ[gang.PARENT]))  # a killed launcher must leave no worker on a GPU
    lease.stoppable()
    request, rank = StepRequest.read(folder), int(os.environ["RANK"])
    mine = gang.rank_folder(folder, rank)
    mine.mkdir(parents=True, exist_ok=True)
    out = mine / "out" if rank else folder / "out"
    out.mkdir(exist_ok=True)

    def work() -> dict[str, Any]:
        try:
            meeting.in_files()
            result: dict[str, Any] = body(request.step).run(StepContext(request, out, rank))
        except Exception as error:
            if not lost_another(error):
                raise
            what = error.what if isinstance(error, UpdraftError) else str(error)
            print(f"Lost touch with another worker: {what}", flush=True)
            ending.write(mine / ending.ERROR, {"kind": gang.LOST, "what": what, "where": "", "remedy": ""})
            # No farewell to the others: who is gone does not answer.
            os._exit(1)
        return result

    return ending.settle(mine, request.step, work)


def lost_another(error: BaseException | None) -> bool:
    """Whether the error, or one that it came from, is that of a connection to another worker."""
    while error is not None:
        of_torch = type(error).__module__.startswith("torch.distributed") or type(error).__name__ in TORCH_S
        if of_torch or (isinstance(error, RuntimeError) and not isinstance(error, UpdraftError) and GONE.search(str(error))):
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
