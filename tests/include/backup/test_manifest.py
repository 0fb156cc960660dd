from __future__ import annotations

import json
from typing import Any

import pytest

from include.backup.manifest import File, Manifest, parse
from include.errors import InputError

MADE = Manifest("20261201T060000Z-0a1b2c", "2026-12-01T06:00:00+00:00", "0.1.0", "embedded", 8000, files=(File("home/a", "0" * 64, 3),))


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse(MADE.text(), "here") == MADE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "newer Updraft"),
        ({"kind": "something"}, "no manifest of an Updraft backup"),
        ({"name": "../x"}, "damaged"),
        ({"files": [{"path": "home/../../etc/passwd", "sha256": "0" * 64, "bytes": 3, "mode": 384}]}, "leads elsewhere"),
        ({"files": [{"path": "/etc/passwd", "sha256": "0" * 64, "bytes": 3, "mode": 384}]}, "leads elsewhere"),
        ({"files": [{"path": "home//a", "sha256": "0" * 64, "bytes": 3, "mode": 384}]}, "leads elsewhere"),
        ({"files": 2 * [{"path": "home/a", "sha256": "0" * 64, "bytes": 3, "mode": 384}]}, "there twice"),
        ({"files": [{"path": "home/a", "sha256": "0" * 63, "bytes": 3, "mode": 384}]}, "no digest"),
        ({"files": [{"path": "home/a", "sha256": "0" * 64, "bytes": -1, "mode": 384}]}, "no digest, no size"),
        ({"files": [{"path": "home/a"}]}, "damaged"),
        ({"files": [{"path": "home/a", "sha256": "0" * 64, "bytes": 3, "mode": 0o4755}]}, "no permissions"),
        ({"folders": ["home/../../tmp"]}, "leads elsewhere"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(json.dumps(json.loads(MADE.text()) | change), "here")


@pytest.mark.parametrize("text", ["", "[]", "{", "\0"])
def test_what_is_no_json_is_no_manifest(text: str) -> None:
    with pytest.raises(InputError, match="no manifest"):
        parse(text, "here")
