"""What is made of pip-audit's report, and of an index that has none."""

from pathlib import Path

from tests.advisories import ACCEPTED, accepted, files, reachable, to_mend

REPORT = {
    "dependencies": [
        {"name": "calm", "version": "1", "vulns": []},
        {"name": "skipped", "skip_reason": "no such package"},
        {
            "name": "holed",
            "version": "2",
            "vulns": [
                {"id": "PYSEC-1", "fix_versions": ["3"], "aliases": ["CVE-1"]},
                {"id": "PYSEC-2", "fix_versions": [], "aliases": []},
            ],
        },
    ]
}


def test_what_a_newer_version_mends_is_told_from_what_none_does() -> None:
    assert to_mend(REPORT, set()) == (["holed 2: PYSEC-1, mended in 3"], ["holed 2: PYSEC-2, not mended yet"])


def test_an_accepted_advisory_is_known_by_either_of_its_ids() -> None:
    for line in ("PYSEC-1 not reached", "CVE-1 not reached"):
        assert to_mend(REPORT, accepted(f"# ids\n\n{line}\n"))[0] == []
    assert accepted(ACCEPTED.read_text()) == set()


def test_an_index_without_advisories_is_told(tmp_path: Path) -> None:
    for text in ("<html>", "{}"):
        (tmp_path / "index").write_text(text)
        assert reachable((tmp_path / "index").as_uri())
    (tmp_path / "index").write_text('{"vulnerabilities": []}')
    assert reachable((tmp_path / "index").as_uri()) == ""
    assert reachable((tmp_path / "nothing").as_uri())


def test_two_versions_of_a_package_are_asked_after_one_by_one() -> None:
    assert files({"a==1", "b==1", "a==2"}) == [["a==1", "b==1"], ["a==2"]]
