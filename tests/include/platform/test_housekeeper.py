"""Old steps' folders are found, whatever their code has left in them."""

import os
import time
from pathlib import Path

from include.platform import housekeeper


def test_a_link_to_nowhere_or_to_what_is_new_keeps_no_folder(tmp_path: Path) -> None:
    now, steps = time.time(), tmp_path / "steps"
    for name in ("old", "new"):
        (steps / name).mkdir(parents=True)
        (steps / name / "file").write_text("x")
    (tmp_path / "outside").write_text("new")
    (steps / "old" / "nowhere").symlink_to("/nonexistent")
    (steps / "old" / "outside").symlink_to(tmp_path / "outside")
    for path in (*(steps / "old").iterdir(), steps / "old"):
        os.utime(path, (now - 100, now - 100), follow_symlinks=False)
    assert housekeeper.old(steps, 50, now) == [steps / "old"]
    assert housekeeper.old(tmp_path / "none", 50, now) == []
