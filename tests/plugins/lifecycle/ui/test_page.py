"""The page Models in a real browser, on a real server."""

import sqlite3
from typing import Any

import pytest

from include.kinds.load import find
from include.runtime.settings import REPO
from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL

ROW_PX = 44
SPECS = [path.parent.name for path in find(REPO / "include" / "models")]


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, f"{served.url}/lifecycle/ui", "table.models tbody tr")


def row(page: Any, model: str = "digits") -> Any:
    return page.locator(f"tr[data-key={model}]")


def test_a_row_says_what_a_model_stands_at(page: Any) -> None:
    assert row(page).locator(".lamp .text").inner_text() == "v3 on trial 10 %"
    assert row(page).locator(".bar").get_attribute("aria-label") == "v2 90 %, v3 10 %"
    assert row(page).locator("td.last a").inner_text().startswith("running")
    assert row(page, "diabetes").locator(".lamp .text").inner_text() == "nothing has run yet"
    assert page.problems == []


def test_what_is_on_trial_comes_before_what_is_idle(page: Any) -> None:
    assert page.locator("tbody tr").evaluate_all("all => all.map(one => one.dataset.key)") == [
        "digits",
        *(name for name in SPECS if name != "digits"),
    ]


def test_chips_and_the_search_leave_what_is_asked_for(page: Any) -> None:
    page.get_by_role("button", name="on trial 1").click()
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("button", name=f"all {len(SPECS)}").click()
    page.keyboard.press("/")
    page.keyboard.type("house tree nothing")
    assert page.locator(".empty").inner_text() == "No model is like that."
    page.locator("#find").fill("digits")
    assert page.locator("tbody tr").count() == 1 and page.locator("#count").inner_text() == f"1 of {len(SPECS)} models"


def test_focus_and_what_is_written_outlive_the_refreshes(served: Served, page: Any) -> None:
    row(page, "signs").locator("th a").focus()
    page.locator("#find").evaluate("(node) => node.value = 's'")
    before = row(page).evaluate("(node) => (window.kept = node, node.innerText)")
    with sqlite3.connect(served.database, timeout=30) as database:
        database.execute("UPDATE dag_run SET state = 'failed' WHERE id = 2")
    try:
        page.wait_for_function("() => window.kept.innerText.includes('last run failed')")
        assert "last run failed" not in before
        assert page.evaluate("document.activeElement.textContent") == "signs"
        assert page.evaluate("document.querySelector('tr[data-key=digits]') === window.kept"), "the row itself is kept"
        assert page.locator("#find").input_value() == "s"
    finally:
        with sqlite3.connect(served.database, timeout=30) as database:
            database.execute("UPDATE dag_run SET state = 'running' WHERE id = 2")


@pytest.mark.parametrize(("models", "screens"), [(60, 3), (300, 15)])
def test_many_models_are_rows_of_44_pixels(served: Served, context: Any, models: int, screens: float) -> None:
    """Revisions of models whose folders are gone: what is deployed is shown all the same."""
    columns = "model, version, state, target, backend, endpoint, message, updated_at"
    many = [
        (f"model_{number}", 1, "RUNNING", "process", "triton", "", EVIL, "2026-11-21 02:41:30.000000")
        for number in range(models - len(SPECS))
    ]
    with sqlite3.connect(served.database, timeout=30) as database:
        database.executemany(f"INSERT INTO updraft_revision ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", many)
    try:
        for width in (1440, 390):
            found = opened(context, f"{served.url}/lifecycle/ui", f"tbody tr:nth-child({models})")
            found.set_viewport_size({"width": width, "height": 900})
            heights = found.locator("tbody tr").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
            assert max(heights) <= ROW_PX + 1
            assert found.evaluate("document.documentElement.scrollHeight") <= (screens + 0.2) * 900
            assert found.evaluate("document.documentElement.scrollWidth") <= width
            assert found.locator("img").count() == 0 and found.problems == []
            found.close()
    finally:
        with sqlite3.connect(served.database, timeout=30) as database:
            database.execute("DELETE FROM updraft_revision WHERE model LIKE 'model\\_%' ESCAPE '\\'")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 22, 30)")


def test_in_airflows_frame_it_takes_airflows_theme_and_its_links_move_the_whole_window(served: Served, context: Any) -> None:
    outer = context.new_page()
    outer.goto(f"{served.url}/?theme=dark")
    frame = outer.frame_locator("iframe")
    frame.locator("tr[data-key=digits]").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    frame.locator("tr[data-key=digits] td.last a").click()
    outer.wait_for_url("**/dags/digits_lifecycle/runs/*")


def test_it_speaks_airflows_language_and_follows_when_that_changes(served: Served, context: Any) -> None:
    outer = context.new_page()
    outer.goto(f"{served.url}/")
    frame = outer.frame_locator("iframe")
    frame.get_by_text("v3 on trial 10 %").wait_for()
    outer.evaluate("localStorage.setItem('i18nextLng', 'zh-CN')")
    frame.get_by_role("heading", name="模型").wait_for()
    assert frame.locator("html").get_attribute("lang") == "zh-CN"
    frame.locator("tr[data-key=digits]").wait_for()
    assert "v3" in frame.locator("tr[data-key=digits] .lamp").inner_text()


def test_a_lost_session_is_said_and_what_was_known_stays_in_sight(served: Served, page: Any, context: Any) -> None:
    context.clear_cookies()
    page.wait_for_selector("#problem:not([hidden])")
    assert "Log in" in page.locator("#problem").inner_text() and "What you see is of" in page.locator("#problem").inner_text()
    assert row(page).locator(".lamp").count() == 1 and page.locator("body.stale").count() == 1


def test_a_server_that_hangs_or_is_gone_is_said(served: Served, page: Any) -> None:
    page.route("**/v1/overview", lambda route: route.abort())
    page.wait_for_selector("#problem:not([hidden])")
    assert page.locator("#problem").inner_text().startswith("The server does not answer.")
    page.unroute("**/v1/overview")
    page.wait_for_selector("#problem", state="hidden")
    assert page.locator("body.stale").count() == 0


@pytest.mark.parametrize(("chosen", "zone"), [('"Asia/Tokyo"', "Asia/Tokyo"), ('"No/Where"', None), ("no JSON", None)])
def test_it_tells_the_time_that_airflow_beside_it_tells(served: Served, context: Any, chosen: str, zone: str | None) -> None:
    context.add_init_script(f"localStorage.setItem('timezone', {chosen!r})")
    page = opened(context, f"{served.url}/lifecycle/ui", "table.models tbody tr")
    at = next(one for one in served.get("v1/overview").json()["models"] if one["model"] == "digits")["run"]["at"]
    form = {"dateStyle": "medium", "timeStyle": "medium"} | ({"timeZone": zone} if zone else {})
    assert row(page).locator("td.last a").get_attribute("title") == page.evaluate(
        "([at, form]) => new Date(at).toLocaleString('en', form)", [at, form]
    )
