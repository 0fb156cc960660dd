"""What the platform takes of a step's folder, and what it refuses."""

import os
from pathlib import Path

import pytest

from include.errors import InputError
from include.runtime import untrusted


def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert untrusted.text(tmp_path / "file") == "text" and untrusted.read(tmp_path / "file", 2, offset=1) == b"ex"
    assert [untrusted.text(tmp_path / name) for name in ("link", "pipe", "folder", "absent")] == [None] * 4


def test_a_users_file_is_opened_through_links_and_a_pipe_or_device_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with untrusted.plain(tmp_path / "link") as file:
        assert file.read() == b"text"
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "absent"):
        with pytest.raises(OSError, match=str(path)):
            untrusted.plain(path)


def test_more_than_anybody_has_a_use_for_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(untrusted.TEXT_BYTES + 1)
    assert untrusted.text(tmp_path / "huge") is None


def test_links_within_a_folder_pass_and_others_are_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "file").write_text("x")
    (out / "inner").symlink_to("deep/file")
    untrusted.check_tree(out)
    (out / "deep" / "outer").symlink_to("../../..")
    with pytest.raises(InputError, match=r"out/deep/outer: is a link to what is not in it"):
        untrusted.check_tree(out)


def test_a_result_names_paths_of_the_step_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "away").symlink_to("/etc")
    untrusted.check_paths({"table": str(out / "t"), "rows": 3, "more": ["models:/m-1", {"x": str(out)}]}, [out], "result")
    for bad in ("/etc/passwd", str(out / ".." / "other"), str(out / "away" / "passwd"), f"{out}2/t"):
        with pytest.raises(InputError, match="which is not the step's"):
            untrusted.check_paths({"more": [{"x": bad}]}, [out], "result")
