"""The page Audit, and budgets on the page Cost."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL


@pytest.fixture
def admin(served: Served, browser: Any) -> Iterator[Any]:
    """An admin's browser."""
    context = browser.new_context()
    context.add_cookies([{"name": "_token", "value": served.admin, "url": served.url}])
    context.set_default_timeout(20_000)
    yield context
    context.close()


def test_an_admin_gives_a_budget_on_the_page_and_the_audit_says_who_and_why(served: Served, admin: Any) -> None:
    page = opened(admin, f"{served.url}/lifecycle/cost", "#budgets form")
    form = page.locator("#budgets form")
    form.locator("select").select_option("team")
    form.get_by_label("Name").fill("vision")
    form.get_by_label("GPU-hours a month").fill("0.001")
    form.get_by_label("Why").fill(EVIL)
    form.get_by_role("button", name="Set").click()
    row = page.locator("#budgets tbody tr", has_text="vision")
    row.get_by_text("used up").wait_for()
    form.get_by_label("Name").fill("no team!")
    form.get_by_label("Tokens a month").fill("5")
    form.get_by_role("button", name="Set").click()
    page.locator("#budgets [role=alert]", has_text="name").wait_for()
    assert [text for text in page.problems if "422" not in text and "404" not in text] == []

    audit = opened(admin, f"{served.url}/lifecycle/audit", "#audit tbody tr")
    line = audit.locator("#audit tbody tr", has_text="budget set").first
    assert "anna" in line.inner_text() and EVIL in line.inner_text() and audit.locator("img").count() == 0
    audit.locator("select[name=kind]").select_option("node")
    audit.get_by_text("Nobody did anything of that kind.").wait_for()
    assert "kind=node" in audit.locator("#csv").get_attribute("href")
    assert audit.problems == []

    page.get_by_role("button", name="Remove the budget of team vision").click()
    page.get_by_text("Nobody has a budget").wait_for()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(served: Served, admin: Any, width: int, scheme: str) -> None:
    served.put("v1/prices", {"changes": {}})
    page = opened(admin, f"{served.url}/lifecycle/audit", "#audit tbody tr")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
