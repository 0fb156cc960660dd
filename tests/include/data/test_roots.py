"""A run takes its data from where it may, and from nowhere else."""

from pathlib import Path

import pytest

from include.data.roots import locate
from include.errors import InputError
from include.runtime.settings import Settings, folders


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    model, shared = tmp_path / "models" / "wine", tmp_path / "shared"
    for folder in (model, shared, tmp_path / "models" / "other"):
        folder.mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("a\n")
    (model / "link.csv").symlink_to(tmp_path / "secret.csv")
    (model / "loop.csv").symlink_to(model / "loop.csv")
    (shared / "fine.csv").symlink_to(shared / "rows.csv")
    return model, {"shared": shared}


@pytest.mark.parametrize("source", ["rows.csv", "deep/rows.csv", "deep/../rows.csv", "shared:rows.csv", "shared:fine.csv"])
def test_a_file_of_the_models_or_of_a_data_folder_is_found(place: tuple[Path, dict[str, Path]], source: str) -> None:
    model, roots = place
    assert locate(source, model, roots).name == "rows.csv"


def test_an_absolute_path_is_taken_within_the_same_folders(place: tuple[Path, dict[str, Path]]) -> None:
    model, roots = place
    assert locate(str(model / "rows.csv"), model, roots) == model / "rows.csv"
    assert locate(str(roots["shared"] / "rows.csv"), model, roots) == roots["shared"] / "rows.csv"


HOSTILE = [
    *("/etc/passwd", "../other/rows.csv", "../../secret.csv", "shared:../secret.csv", "shared:/etc/passwd", "link.csv", "loop.csv"),
    *(
        "nobody:rows.csv",
        "http://elsewhere/rows.csv",
        "s3://bucket/rows.csv",
        "a\0b",
        "../wine2/rows.csv",
        "~/rows.csv/../../../x",
    ),
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: repr(source)[:30])
def test_any_other_is_refused_with_what_would_do(place: tuple[Path, dict[str, Path]], source: str) -> None:
    model, roots = place
    with pytest.raises(InputError, match="data_source") as refused:
        locate(source, model, roots)
    assert "shared:<file>" in refused.value.remedy


def test_the_folders_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders("data=/a:team-b=/b/c") == {"data": Path("/a"), "team-b": Path("/b/c")}
    monkeypatch.delenv("UPDRAFT_DATA", raising=False)
    assert Settings.load().data_roots == {"data": Settings.load().home / "data"}


@pytest.mark.parametrize("text", ["/a", "data=a", "Data=/a", "data=/a:data=/b", "=/a"])
def test_what_names_no_folder_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="UPDRAFT_DATA"):
        folders(text)
