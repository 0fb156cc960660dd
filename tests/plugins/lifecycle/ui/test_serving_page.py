"""The page Serving in a real browser: revisions, what is done to them, and sliders for the traffic."""

import sqlite3
from typing import Any

import pytest

from tests.plugins.lifecycle.ui.conftest import Served, opened


@pytest.fixture
def page(served: Served, operator: Any) -> Any:
    return opened(operator, f"{served.url}/lifecycle/serving", "table.revisions tbody tr")


def row(page: Any, version: int) -> Any:
    return page.locator(f"tr[data-key='digits/{version}']")


def test_every_revision_stands_with_its_state_and_share(page: Any) -> None:
    assert "running" in row(page, 2).inner_text() and "90 %" in row(page, 2).inner_text() and "champion" in row(page, 2).inner_text()
    assert "10 %" in row(page, 3).inner_text()
    page.get_by_role("button", name="with traffic 2").click()
    assert page.locator("tbody tr").count() == 2
    assert page.problems == []


def test_who_restarts_a_server_says_why_and_it_is_kept(served: Served, page: Any) -> None:
    page.get_by_role("button", name="Restart v2 of digits").click()
    page.locator("dialog textarea").fill("it answers late")
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    page.locator("dialog").wait_for(state="detached")
    with sqlite3.connect(served.database, timeout=30) as database:
        kept = database.execute("SELECT act, why, author FROM updraft_serving_act WHERE model = 'digits' ORDER BY entry DESC").fetchone()
    assert kept == ("restart", "it answers late", "olaf")


def test_several_servers_are_counted_and_their_number_is_changed_with_a_reason(served: Served, page: Any) -> None:
    count = row(page, 2).locator("span", has_text="1 of 2 ready")
    assert "all are held" in count.get_attribute("title")
    page.get_by_role("button", name="Scale digits").click()
    assert "olaf wanted 2: The sale begins." in page.locator("dialog").inner_text()
    page.locator("dialog input[name=replicas]").fill("3")
    page.locator("dialog textarea").fill("it begins today")
    page.get_by_role("dialog").get_by_role("button", name="Scale").click()
    page.locator("dialog").wait_for(state="detached")
    with sqlite3.connect(served.database, timeout=30) as database:
        kept = database.execute("SELECT replicas, why, who FROM updraft_scale WHERE model = 'digits'").fetchone()
    assert kept == (3, "it begins today", "olaf")
    row(page, 2).locator("span", has_text="1 of 3 ready").wait_for()


def test_sliders_add_up_to_a_hundred_and_a_refusal_is_said_where_it_was_asked(page: Any) -> None:
    page.get_by_role("button", name="Share the traffic of digits").click()
    page.locator("dialog input[aria-label=v3]").fill("40")
    assert page.locator("dialog output").all_inner_texts() == ["60 %", "40 %"]
    assert "v2: 90 → 60 %; v3: 10 → 40 %" in page.locator(".preview").inner_text()
    assert page.locator(".preview .bar").get_attribute("aria-label") == "v2 60 %, v3 40 %"
    page.locator("dialog textarea").fill("more of it")
    page.get_by_role("dialog").get_by_role("button", name="Share").click()
    page.locator("dialog .bad", has_text="is on trial").wait_for()


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
