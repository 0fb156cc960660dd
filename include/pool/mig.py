"""The names of MIG profiles, as NVIDIA writes them."""

from __future__ import annotations

import re
from functools import cache

PROFILE = r"(?:[1-7]c\.)?[1-7]g\.\d{1,3}gb(?:[+.-][a-z]+(?:\.[a-z]+)*)*"
"""``1g.10gb``; with what it has or lacks beside, ``1g.10gb+me``, ``1g.24gb+me.all``, ``1g.24gb-me``; a compute instance of it,
``1c.3g.20gb`` (NVIDIA's MIG user guide, device names). Kubernetes' resources write ``.`` for ``+``."""
_PARTS = re.compile(r"(?:(\d+)c\.)?(\d+)g\.(\d+)gb")
SLICES = 7
"""Compute slices of a whole GPU."""


@cache
def slices(name: str) -> int:
    """Return how many of a GPU's seven compute slices the profile in ``name`` has; seven when there is none in it."""
    found = _PARTS.search(name)
    return min(int(found[1] or found[2]), SLICES) if found else SLICES


def memory_mib(profile: str) -> int:
    """Return the memory that a profile's name tells, in MiB; 0 when it is no profile."""
    found = _PARTS.match(profile)
    return int(found[3]) * 1024 if found else 0


def canonical(profile: str) -> str:
    """Return the profile as NVIDIA's driver writes it: ``1g.10gb.me`` and ``1G.10GB+ME`` are ``1g.10gb+me``."""
    return profile.lower().replace("gb.", "gb+")


def resource(profile: str) -> str:
    """Return the end of the profile's Kubernetes resource, ``nvidia.com/mig-...``."""
    return profile.replace("+", ".")
