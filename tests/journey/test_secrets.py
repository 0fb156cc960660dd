"""No secret in a log, none in a file that others can read. Runs after the other journeys have filled the logs."""

import json

import pytest

from tests.journey.site import Site

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
    from include.runtime import family
    from tests.journey.site import describe

    lines = [describe(process) for process in family.family(str(site.settings.home))]
    assert len(lines) > 5
    assert not [line for line in lines for secret in secrets(site).values() if secret.decode() in line]


def test_everything_listens_on_loopback_only(site: Site):
    from pathlib import Path

    from include.runtime import family

    own = {f"socket:[{_inode(link)}]" for process in family.family(str(site.settings.home)) for link in _sockets(process)}
    open_to_all = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address = fields[1].rpartition(":")[0]
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own and not address.endswith(("0100007F", "01000000")):
                open_to_all.append((table, fields[1]))
    assert own and not open_to_all


def _sockets(process: int) -> list[str]:
    from pathlib import Path

    found = []
    for link in Path(f"/proc/{process}/fd").glob("*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.append(target)
    return found


def _inode(target: str) -> str:
    return target.removeprefix("socket:[").removesuffix("]")
