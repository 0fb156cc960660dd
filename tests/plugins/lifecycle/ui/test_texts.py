"""Every text of the pages in every language."""

import json
import re
from pathlib import Path

import pytest

from include.acts.audit import KINDS
from include.budgets.status import Level
from include.canary.orders import Order
from include.new_model import templates
from include.reconcile.facts import Step
from include.release.standing import Word
from include.runtime.settings import REPO
from include.spec.schema import Act
from lifecycle.db import acts
from lifecycle.db.budgets import ACTS as BUDGET_ACTS

PLUGINS = REPO / "plugins"
LIFECYCLE = PLUGINS / "lifecycle" / "ui"
OF_A_PAGE = {
    "usage": ("usage.html", "usage.js"),
    "cost": ("cost.html", "cost.js", "budgets.js", "prices.js"),
    "audit": ("audit.html", "audit.js"),
    "new_model": ("new_model.html", "new_model.js"),
}
"""Catalogues that one page has for itself, and the files that it is made of."""
FOLDERS = {"shared": PLUGINS / "ui_shared", "texts": LIFECYCLE, "gpus": PLUGINS / "gpu_pool" / "ui"} | dict.fromkeys(OF_A_PAGE, LIFECYCLE)
OWN = ("texts", "gpus", *OF_A_PAGE)
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
MADE_UP = (r"""\bt(?:\.has)?\(`([\w. -]+)\$\{""", r"""\bt\.word\("(\w+)\"""")
"""How they ask for texts whose names they make up: the names' beginnings."""
CLOSED = {
    "audit": {
        "kind": set(KINDS),
        "act": {f"trial: {order.value}" for order in Order}
        | set(BUDGET_ACTS.values())
        | {step.value for step in Step if step is not Step.NONE},
        "alert": {act.value for act in Act} | {state.lower() for state in (acts.PLANNED, acts.BEGUN, acts.REFUSED, acts.NOTIFIED)},
    },
    "cost": {"level": {level.value for level in Level}, "scope": {"key", "team", "model"}},
    "new_model": {"task": {"classification", "regression"}, "template": set(templates.find())},
}
"""Words of closed lists that the server says, and pages show in their language."""
RECORDED = re.compile(r"""(?:audit\.record|serving\.act)\(\s*session,\s*[\w.]+,\s*"([\w :]+)"|outbox\.note\(\s*[\w.]+,\s*"([\w :]+)\"""")
"""Where code names the act that it records."""


def catalogue(place: str, language: str) -> dict[str, str]:
    text = (FOLDERS[place] / f"{place}.{language}.js").read_text()
    found: dict[str, str] = json.loads(text.removeprefix("export default ").rstrip().removesuffix(";"))
    return found


def files(place: str) -> list[Path]:
    found = [path for path in FOLDERS[place].iterdir() if path.suffix in (".js", ".html") and path.name.count(".") == 1]
    taken = {name for names in OF_A_PAGE.values() for name in names}
    own = [path for path in found if (path.name in OF_A_PAGE[place] if place in OF_A_PAGE else path.name not in taken)]
    assert len(own) >= len(OF_A_PAGE.get(place, ()))
    return own


def asked(paths: list[Path], patterns: tuple[str, ...]) -> set[str]:
    return {name for path in paths for pattern in patterns for name in re.findall(pattern, path.read_text())}


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
    found = asked([*files("shared"), *files(place)], ASKED)
    assert len(found) > (30 if place in OF_A_PAGE else 60), "the pattern finds what pages ask for"
    assert sorted(found - set(known)) == []


@pytest.mark.parametrize("place", OWN)
def test_no_text_is_there_that_no_page_asks_for(place: str) -> None:
    named, beginnings = asked(files(place), (r'"([\w. -]+)"',)), tuple(asked(files(place), MADE_UP))
    assert [key for key in catalogue(place, "en") if key not in named and not key.startswith(beginnings)] == []


@pytest.mark.parametrize(("place", "of"), [(place, of) for place, lists in CLOSED.items() for of in lists])
def test_the_servers_words_are_there(place: str, of: str) -> None:
    assert sorted(word for word in CLOSED[place][of] if f"{of}.{word}" not in catalogue(place, "en")) == []


def test_every_act_that_is_recorded_has_a_word() -> None:
    sources = [path for folder in ("plugins", "include") for path in (REPO / folder).rglob("*.py")]
    named = {name for path in sources for both in RECORDED.findall(path.read_text()) for name in both if name}
    assert len(named) > 10, "the pattern finds acts"
    assert sorted(act for act in named if f"act.{act}" not in catalogue("audit", "en")) == []


@pytest.mark.parametrize("word", Word)
def test_every_standing_has_a_sentence(word: Word) -> None:
    assert f"word.{word.value}" in catalogue("texts", "en")


@pytest.mark.parametrize("place", OWN)
def test_no_page_says_what_all_pages_share_otherwise(place: str) -> None:
    assert set(catalogue("shared", "en")) & set(catalogue(place, "en")) == set()
