"""No secret in a log, none in a file that others can read. Runs after the other journeys have filled the logs."""

import json
import os
from pathlib import Path

import pytest

from include.runtime import family
from tests.journey.site import Site, describe

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]


def secrets(site: Site) -> dict[str, bytes]:
    """Name → value of everything in the credentials file."""
    found = {}
    for name, value in json.loads((site.settings.home / "credentials.json").read_text()).items():
        for key, secret in (value if isinstance(value, dict) else {"": value}).items():
            found[f"{name}.{key}"] = secret.encode()
    return found


def files(site: Site):
    return [path for path in site.settings.home.rglob("*") if path.is_file() and not path.is_symlink()]


def test_no_log_holds_a_secret(site: Site, champion: int):
    known = secrets(site)
    assert len(known) >= 9
    logs = [path for path in files(site) if path.is_relative_to(site.settings.logs) or path.suffix in (".log", ".txt")]
    assert len(logs) > 10
    leaks = [(str(path), name) for path in logs for name, secret in known.items() if secret in path.read_bytes()]
    assert not leaks


def test_no_file_that_others_can_read_holds_a_secret(site: Site, champion: int):
    known = secrets(site)
    readable = [path for path in files(site) if path.stat().st_mode & 0o077 and path.stat().st_size < 50_000_000]
    leaks = [(str(path), name) for path in readable for name, secret in known.items() if secret in path.read_bytes()]
    assert not leaks


def test_no_command_line_shows_a_secret(site: Site, champion: int):
    lines = [describe(process) for process in family.family(str(site.settings.home))]
    assert len(lines) > 5
    assert not [line for line in lines for secret in secrets(site).values() if secret.decode() in line]


OPENED = ("code", "steps", "bundles", "revisions", "bases", "dvc", "dvc-remote")
"""Folders of the home of which steps and servers with users of their own are given parts (include/runtime/sandbox)."""


def test_all_that_the_platform_makes_is_its_owners_alone(site: Site, champion: int):
    """The home lets nobody in. What users of steps and servers are to read is opened below it, for whoever is placed there."""
    home = site.settings.home
    assert not home.stat().st_mode & 0o077
    made = [path for path in home.rglob("*") if path.relative_to(home).parts[0] not in OPENED]
    opened = [str(path) for path in made if not path.is_symlink() and path.lstat().st_mode & 0o077]
    assert not opened


def test_neither_shared_memory_nor_temporary_files_are_others_to_read(site: Site, champion: int):
    found = set()
    for process in family.family(str(site.settings.home)):
        for place in (*Path(f"/proc/{process}/fd").glob("*"), *Path(f"/proc/{process}/map_files").glob("*")):
            try:
                target = os.readlink(place)
            except OSError:
                continue
            inside = Path(target).is_relative_to(site.settings.home)  # the test before has tried its door
            if target.startswith(("/dev/shm/", "/tmp/")) and not target.endswith(" (deleted)") and not inside:
                found.add(Path(f"/proc/{process}/root{target}"))  # as it sees it: a server may have folders of its own
    regions = {path for path in found if "/dev/shm/" in str(path)}
    assert regions, "a server's Python backend has some"
    assert not [str(path) for path in found if path.exists() and path.stat().st_mode & 0o077]
