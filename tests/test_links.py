"""Every relative link of the docs leads to a file that is there and, after `#`, to a heading of it."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TOP = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [*(REPO / name for name in TOP), *sorted((REPO / "docs").rglob("*.md"))]


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to a page's headings: a repeated one is numbered."""
    times: Counter[str] = Counter()
    found = set()
    for line in prose(page).splitlines():
        if heading := re.match(r"#+ +(.*)", line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1].strip()).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.add(f"{slug}-{times[slug]}" if times[slug] else slug)
            times[slug] += 1
    return frozenset(found)


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "`", prose(page))):
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        if not re.match(r"[a-z]+:", link) and (not there.exists() or (anchor and anchor not in anchors(there))):
            found.append(link)
    return found


def test_every_link_of_the_docs_leads_somewhere() -> None:
    assert {str(page.relative_to(REPO)): links for page in PAGES if (links := broken(page))} == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `make up`: it\n## Twice\n## Twice\n[a](#make-up-it) [b](#twice-1) [c](gone.md) [d](page.md#gone) [e](https://e.org/x)\n"
    )
    assert broken(page) == ["gone.md", "page.md#gone"]
