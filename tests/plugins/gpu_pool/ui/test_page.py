"""The page GPUs in a real browser, on a real server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.gpu_pool.ui.conftest import EVIL, Stage

WAIT_MS = 20_000


@pytest.fixture
def user() -> str:
    return "anna"


@pytest.fixture
def page(stage: Stage, browser: Any, user: str) -> Iterator[Any]:
    stage.report()
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_cookies([{"name": "_token", "value": stage.served.tokens[user], "url": stage.served.url}])
    context.set_default_timeout(WAIT_MS)
    found = context.new_page()
    found.problems = []
    found.on("console", lambda message: found.problems.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: found.problems.append(str(error)))
    found.goto(f"{stage.served.url}/gpu-pool/ui")
    found.wait_for_selector(".node")
    yield found
    context.close()


def node(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name)


def test_it_shows_the_pool_in_figures_and_says_that_it_is_simulated(page: Any):
    assert page.locator("#figures li").all_inner_texts()[0] == "6\nGPUs in service"
    assert "rack/gpu-a, rack/gpu-b, rack/gpu-c are declared in a file" in page.locator("#simulated").inner_text()
    assert node(page, "rack/gpu-a").locator(".chip").inner_text() == "simulated"
    assert page.problems == []


def test_bars_show_who_holds_what_and_what_is_not_the_pools(page: Any):
    shared = node(page, "rack/gpu-b").locator(".device")
    assert shared.nth(0).locator(".bar li").all_inner_texts() == ["35 %", "25 %", "40 % free"]
    assert shared.nth(1).locator(".bar li").first.inner_text() == "foreign"
    widths = [shared.nth(0).locator(".bar li").nth(place).bounding_box()["width"] for place in range(3)]
    assert widths[0] / widths[1] == pytest.approx(35 / 25, rel=0.1)
    assert "failed" in node(page, "rack/gpu-c").inner_text()
    assert "! cordoned" in node(page, "rack/gpu-c").inner_text() and "a GPU is to be replaced" in node(page, "rack/gpu-c").inner_text()


def test_pointing_at_a_lease_and_focusing_it_tell_whose_it_is(page: Any):
    part = node(page, "rack/gpu-b").locator(".leased").first
    part.hover()
    assert "embedder\nolaf, team language, priority 6\n35 % of the GPU" in page.locator("#tip").inner_text().replace("\n\n", "\n")
    page.mouse.move(0, 0)
    part.focus()
    assert "embedder" in page.locator("#tip").inner_text()


def test_who_waits_reads_its_reasons_and_its_start(page: Any):
    first = page.locator(".request").first.inner_text()
    assert "1. 4 GPUs" in first and "priority 8" in first
    assert "It needs 4 free whole GPUs on one node" in first and "told to stop for it" in first
    assert "Expected to start about" in first
    assert page.locator(".request").nth(1).inner_text().count("1 request stands before it") == 1


def test_a_notice_stands_beside_its_lease(page: Any):
    assert "must stop by" in page.locator("#leases").inner_text()


def test_texts_stay_texts(page: Any):
    assert EVIL in page.locator("#leases").inner_text()
    assert page.locator("img").count() == 0


def test_teams_show_use_guarantee_and_limit(page: Any):
    teams = page.locator("#quotas li").all_inner_texts()
    assert any(text.startswith("vision") and "guaranteed 2, at most 4" in text for text in teams)
    assert any(text.startswith("research") and "no quota" in text for text in teams)


def test_what_if_answers_in_words(page: Any):
    page.locator("#what [name=size]").fill("64")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("Never, as things are.").wait_for()
    page.locator("#what [name=kind]").select_option("fraction")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("Yes, at once: 30 % of GPU").wait_for()
    assert page.problems == []


def test_what_is_being_written_survives_the_refreshes(stage: Stage, page: Any):
    page.locator("#what [name=team]").fill("vis")
    before = page.locator("#events li").count()
    stage.ask("passing by", fraction=0.01, team="research")
    page.wait_for_function("before => document.querySelectorAll('#events li').length > before", arg=before)
    assert page.locator("#what [name=team]").input_value() == "vis"
    assert page.evaluate("document.activeElement.name") == "team"


def test_a_nodes_history_opens_and_is_drawn(stage: Stage, page: Any):
    now = int(time.time()) // 30 * 30
    with sqlite3.connect(stage.served.database.removeprefix("sqlite:///"), timeout=30) as database:
        for number in range(1, 6):
            row = ("rack/gpu-a", now - 30 * number, 4000, 1000 * (number % 4), 0, 1000 * number, 326_236, 20.0 * number, 50.0, 700.0)
            database.execute(f"INSERT OR REPLACE INTO updraft_gpu_sample VALUES ({', '.join('?' * len(row))})", row)
    page.get_by_role("button", name="rack/gpu-a").click()
    line = node(page, "rack/gpu-a").locator("path.line.leased")
    line.wait_for(state="attached")
    assert str(line.get_attribute("d")).count(",") >= 4
    node(page, "rack/gpu-a").locator("svg.curve").hover()
    page.wait_for_function("() => document.querySelector('.read').textContent.includes('leased')")
    page.get_by_role("button", name="24 hours").click()
    page.wait_for_selector("button[aria-pressed=true]:has-text('24 hours')")


def test_an_admin_cordons_and_returns_a_node(page: Any):
    node(page, "rack/gpu-b").get_by_role("button", name="Cordon").click()
    page.locator("#act-reason").fill("new driver")
    page.locator("#act-do").click()
    node(page, "rack/gpu-b").get_by_text("Nothing new is placed here: new driver").wait_for()
    node(page, "rack/gpu-b").get_by_role("button", name="Return to service").click()
    page.locator("#act-do").click()
    node(page, "rack/gpu-b").get_by_text("✓ in service").wait_for()


class TestAsAViewer:
    @pytest.fixture
    def user(self) -> str:
        return "vera"

    def test_the_servers_refusal_is_shown_and_nothing_changes(self, page: Any):
        page.locator("#leases").get_by_role("button", name="End").first.click()
        page.locator("#act-reason").fill("mine")
        page.locator("#act-do").click()
        page.wait_for_function("() => document.getElementById('act-problem').textContent.length > 5")
        assert "admin" in page.locator("#act-problem").inner_text()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(page: Any, width: int, scheme: str):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 22, 30)")


def test_a_lost_session_is_said_and_what_was_known_stays(page: Any):
    page.context.clear_cookies()
    page.get_by_text("Log in and reload").wait_for()
    assert page.locator(".node").count() == 3
    assert "old" in page.locator("#problem").inner_text()
