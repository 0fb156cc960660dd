"""Every text of the pages in every language."""

import json
import re
from pathlib import Path

import pytest

from include.release.standing import Word
from include.runtime.settings import REPO

PLUGINS = REPO / "plugins"
FOLDERS = {"shared": PLUGINS / "ui_shared", "texts": PLUGINS / "lifecycle" / "ui", "gpus": PLUGINS / "gpu_pool" / "ui"}
OWN = ("texts", "gpus")
"""Catalogues of a plugin's own pages."""
LANGUAGES = ("en", "zh-CN")
ASKED = (
    r"""\b(?:t|words)\("([\w. -]+)\"""",
    r"""data-t(?:-label|-hint)?="([\w.-]+)\"""",
    r"""card\("([\w.]+)\"""",
    r"""\bt\([\w.()]+ \? "([\w.]+)" : "[\w.]+\"""",
    r"""\bt\([\w.()]+ \? "[\w.]+" : "([\w.]+)\"""",
)
"""How pages ask for texts: by name, in their HTML, in a fact's card, by one name or another."""


def catalogue(place: str, language: str) -> dict[str, str]:
    text = (FOLDERS[place] / f"{place}.{language}.js").read_text()
    found: dict[str, str] = json.loads(text.removeprefix("export default ").rstrip().removesuffix(";"))
    return found


def files(place: str) -> list[Path]:
    found = [path for name in ("shared", place) for path in FOLDERS[name].iterdir()]
    return [path for path in found if path.suffix in (".js", ".html") and path.name.count(".") == 1]


@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_no_text_is_missing_or_left_over(place: str, language: str) -> None:
    assert list(catalogue(place, language)) == list(catalogue(place, "en"))


@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_text_names_the_same_facts(place: str, language: str) -> None:
    english, other = catalogue(place, "en"), catalogue(place, language)
    facts = {key: (sorted(re.findall(r"\{\w+\}", text)), sorted(re.findall(r"\{\w+\}", other[key]))) for key, text in english.items()}
    assert {key: both for key, both in facts.items() if both[0] != both[1]} == {}


@pytest.mark.parametrize("place", OWN)
def test_every_text_that_a_page_asks_for_is_there(place: str) -> None:
    known = {**catalogue("shared", "en"), **catalogue(place, "en")}
    asked = {name for path in files(place) for pattern in ASKED for name in re.findall(pattern, path.read_text())}
    assert len(asked) > 60, "the pattern finds what pages ask for"
    assert sorted(asked - set(known)) == []


@pytest.mark.parametrize("word", Word)
def test_every_standing_has_a_sentence(word: Word) -> None:
    assert f"word.{word.value}" in catalogue("texts", "en")


@pytest.mark.parametrize("place", OWN)
def test_no_page_says_what_all_pages_share_otherwise(place: str) -> None:
    assert set(catalogue("shared", "en")) & set(catalogue(place, "en")) == set()
