"""What axe, the usual checker of accessibility, finds on the pages: nothing, in light and dark, on a phone and a desk."""

from importlib import import_module
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest

from tests.plugins.lifecycle.ui.conftest import Served
from tests.plugins.lifecycle.ui.served import PROMOTED_RUN

PAGES = {
    "ui": "tr .lamp",
    "serving": "table.revisions tbody tr",
    "model?name=digits": "section.trial svg.curve",
    "model?name=gone": ".empty",
    "usage": "section.sheet",
    "cost": "#prices tbody tr",
    "audit": "#audit > *",
    "new-model": "#look:enabled",
    f"run?dag=digits_lifecycle&run={quote(PROMOTED_RUN)}": ".outcome",
}
FOUND = (
    "axe.run(document, {iframes: false, preload: false}).then((all) => all.violations.map((one) => [one.id, one.nodes.map((n) => n.html)]))"
)
RUN = f"() => new Promise((done) => requestIdleCallback(() => done({FOUND})))"


@pytest.fixture(scope="module")
def axe() -> str:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: `make install` does.")
    return (files(import_module("axe_playwright_python")) / "axe.min.js").read_text()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_axe_finds_nothing(served: Served, context: Any, axe: str, path: str, scheme: str, width: int) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{served.url}/lifecycle/{path}")
    page.wait_for_selector(PAGES[path])
    page.evaluate(axe)
    assert page.evaluate(RUN) == []


def test_axe_finds_nothing_in_a_dialog(served: Served, context: Any, axe: str) -> None:
    page = context.new_page()
    page.goto(f"{served.url}/lifecycle/model?name=digits")
    page.wait_for_selector("section.trial svg.curve")
    page.locator("[data-do=rollback]").click()
    page.wait_for_selector("dialog[open] textarea")
    page.evaluate(axe)
    assert page.evaluate(RUN) == []
