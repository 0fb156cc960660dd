"""Users of their own: all that runs as one ends at once, and what it has left becomes the platform's."""

from __future__ import annotations

import os
import subprocess

import pytest

from include.runtime.sandbox import users

pytestmark = pytest.mark.skipif(not users.numbers(), reason="steps have no users of their own here")
CHAIN = "f() { echo; f & exit; }; f"
"""Each process forks the next and exits: whoever lists processes first finds only what has ended meanwhile."""


@pytest.mark.parametrize("again", range(5))
def test_a_chain_of_forks_does_not_outlive_the_end_of_its_user(tmp_path, again):
    user = users.give(tmp_path / "users")
    read, write = os.pipe()
    subprocess.run(["/bin/sh", "-c", CHAIN], stdout=write, user=user, group=user, extra_groups=[], check=True)
    os.close(write)
    with os.fdopen(read, "rb", buffering=0) as pipe:
        for _ in range(20):
            assert pipe.read(1)
        users.end_all(user)
        os.set_blocking(read, False)
        while left := pipe.read(65536):  # None while somebody is left who could write
            pass
        assert left == b""


def test_the_platforms_own_processes_are_not_ended(tmp_path):
    other = subprocess.Popen(["/bin/sleep", "60"], user=users.give(tmp_path / "users"))
    try:
        users.end_all(users.give(tmp_path / "users"))
        users.end_all(0)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_what_is_taken_back_is_the_platforms_and_no_link_leads_out(tmp_path):
    user, out, theirs = users.give(tmp_path / "users"), tmp_path / "out", tmp_path / "theirs"
    (out / "model").mkdir(parents=True)
    (out / "model" / "weights").write_text("x")
    theirs.write_text("x")
    os.chown(theirs, user, user)
    (out / "link").symlink_to(theirs)
    users.hand_over(out, user)
    os.link(out / "model" / "weights", out / "second name")
    users.take_back(out, user)
    assert {path.lstat().st_uid for path in (out, *out.rglob("*"))} == {0}
    assert theirs.stat().st_uid == user
