"""What is kept of a model's code."""

from pathlib import Path

from include.release.code import MOST_BYTES, texts


def test_code_is_kept_and_data_hidden_files_and_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / ".git").mkdir()
    for name, text in {"train.py": "a = 1\n", "lib/part.py": "b", "model.yaml": "name: m", "data.csv": "1", ".git/x.py": "no"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "big.py").write_text("#" * (MOST_BYTES + 1))
    (tmp_path / "linked.py").symlink_to("/etc/passwd")
    found = texts(tmp_path)
    assert found == {"big.py": f"({MOST_BYTES + 1} bytes, not kept)", "lib/part.py": "b", "model.yaml": "name: m", "train.py": "a = 1\n"}
