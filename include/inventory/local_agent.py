"""What is known of the agent that reports this machine's GPUs, by the file that supervisord starts it from."""

from __future__ import annotations

import json
from itertools import pairwise

from include.runtime.settings import Settings

PROGRAM = "gpu-agent"


def options(settings: Settings) -> dict[str, str]:
    """The options that the agent runs with; none where there is no agent."""
    try:
        command = json.loads((settings.supervisor_programs / f"{PROGRAM}.json").read_text())["command"]
    except FileNotFoundError:
        return {}
    return dict(pairwise(command))


def simulated(settings: Settings) -> bool:
    """Whether the GPUs that the agent reports are declared only."""
    return options(settings).get("--source") == "declared"
