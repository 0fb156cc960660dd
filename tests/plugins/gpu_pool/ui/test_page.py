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
    assert page.locator("#figures li").all_inner_texts()[0] == "6\nof 8 GPUs in service"
    assert "rack/gpu-a, rack/gpu-b, rack/gpu-c, rack/spot are declared in a file" in page.locator("#simulated").inner_text()
    assert node(page, "rack/gpu-a").locator(".chip").inner_text() == "simulated"
    assert page.problems == []


def test_bars_show_who_holds_what_and_what_is_not_the_pools(page: Any):
    shared = node(page, "rack/gpu-b").locator(".device")
    assert shared.nth(0).locator(".bar li").all_inner_texts() == ["35 % language", "25 % vision", "40 % free"]
    assert shared.nth(1).locator(".bar li").first.inner_text() == "foreign"
    widths = [shared.nth(0).locator(".bar li").nth(place).bounding_box()["width"] for place in range(3)]
    assert widths[0] / widths[1] == pytest.approx(35 / 25, rel=0.1)
    assert node(page, "rack/gpu-c").locator(".bar li").all_inner_texts() == [
        "not offered: cordoned",
        "failed: Xid 79: GPU has fallen off the bus",
    ]
    assert "! cordoned" in node(page, "rack/gpu-c").inner_text() and "a GPU is to be replaced" in node(page, "rack/gpu-c").inner_text()


def test_what_could_be_taken_by_the_hour_says_its_price_and_is_not_counted(page: Any):
    said = node(page, "rack/spot").inner_text()
    assert "off, can be taken" in said and "2.5 an hour, spot: its provider may take it back; boots in 3 min; 0 spent in 24 h" in said
    assert page.locator("#figures li").last.inner_text() == "0\nspent in 24 h, of 100"


def test_pointing_at_a_lease_and_focusing_it_tell_whose_it_is(page: Any):
    part = node(page, "rack/gpu-b").locator(".leased").first
    part.hover()
    assert "embedder\nolaf, team language, priority 6\n35 % of the simulated GPU" in page.locator("#tip").inner_text().replace("\n\n", "\n")
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
    assert any(text.startswith("vision") and "guaranteed 0.2, at most 4" in text for text in teams)
    assert any(text.startswith("research") and "no quota" in text for text in teams)


def test_what_work_has_used_stands_beside_what_it_asked_for(page: Any):
    row = page.locator("#sizes tbody tr").first
    assert row.locator("th, td").all_inner_texts() == [
        *("nightly/embed", "20 % of a GPU", "5.5 GiB of 9.0 GiB"),
        *("3 leases", "It asks for what it needs."),
    ]


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
    stage.ask("passing by", fraction=0.01, team="research")
    page.locator("#leases").get_by_text("passing by").wait_for()
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
    page.locator(".chart").focus()
    read = page.locator(".read").inner_text()
    page.keyboard.press("ArrowLeft")
    assert "GPUs leased" in page.locator(".read").inner_text() and page.locator(".read").inner_text() != read
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


def test_an_admin_sets_changes_and_removes_a_teams_share(page: Any):
    page.get_by_role("button", name="Set a share for a team").click()
    page.locator("#quota-team").fill("speech")
    page.locator("#quota-guaranteed").fill("2")
    page.locator("#quota-limit").fill("1")
    page.locator("#quota-do").click()
    page.locator("#quota-problem", has_text="not over the limit").wait_for()
    page.locator("#quota-limit").fill("3")
    page.locator("#quota-do").click()
    page.locator("#quotas li", has_text="speech").get_by_text("guaranteed 2, at most 3").wait_for()
    page.get_by_role("button", name="Edit the share of speech").click()
    page.locator("#quota-limit").fill("")
    page.locator("#quota-do").click()
    page.locator("#quotas li", has_text="speech").get_by_text("at most").wait_for(state="detached")
    page.locator("#filter button[value=all]").click()
    page.locator("#events li", has_text="Team speech: 2 GPUs guaranteed, no limit, weight 1, by anna.").wait_for()
    page.get_by_role("button", name="Edit the share of speech").click()
    page.locator("#quota-remove").click()
    page.locator("#quotas li", has_text="speech").wait_for(state="detached")


class TestAsAViewer:
    @pytest.fixture
    def user(self) -> str:
        return "vera"

    def test_there_is_nothing_to_press_that_may_not_be_done(self, page: Any):
        assert page.locator("#leases tbody tr").count() >= 4
        assert sum(page.get_by_role("button", name=name).count() for name in ("End", "Cordon", "Edit", "Set a share")) == 0


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
    assert page.locator(".node").count() == 4
    assert page.locator("#pulse").inner_text().startswith("What you see is ")


def test_a_server_that_does_not_answer_is_said_until_it_does_again(page: Any):
    page.route("**/gpu-pool/v1/**", lambda route: route.abort())
    page.get_by_text("The server does not answer.").wait_for()
    assert "stale" in page.locator("body").get_attribute("class") and page.locator(".node").count() == 4
    page.unroute("**/gpu-pool/v1/**")
    page.wait_for_selector("#problem", state="hidden")
    assert page.locator("body").get_attribute("class") == ""


def test_it_asks_nothing_while_nobody_looks(page: Any):
    page.clock.install()
    page.reload()
    page.wait_for_selector(".node")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(30_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', { value: false, configurable: true })")
    with page.expect_request("**/v1/inventory"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_in_airflows_frame_it_takes_airflows_theme_and_links_move_the_whole_window(stage: Stage, page: Any):
    page.emulate_media(color_scheme="light")
    frame = f'<html class="dark"><iframe src="{stage.served.url}/gpu-pool/ui" sandbox="allow-scripts allow-same-origin allow-forms">'
    page.route("**/surroundings", lambda route: route.fulfill(content_type="text/html", body=frame))
    page.goto(f"{stage.served.url}/surroundings")
    inside = page.frame_locator("iframe")
    inside.locator(".node").first.wait_for()
    assert inside.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(16, 22, 30)"
    page.route("**/dags/**", lambda route: route.fulfill(content_type="text/html", body="Airflow's own page"))
    inside.get_by_role("link", name="digits_lifecycle/manual__2026-11-21/train/-1").click()
    page.wait_for_url("**/dags/digits_lifecycle/runs/manual__2026-11-21/tasks/train")


def test_what_is_pointed_at_stays_told_while_the_node_is_drawn_anew(stage: Stage, page: Any):
    part = node(page, "rack/gpu-b").locator(".foreign")
    part.focus()
    assert "29 GiB" in page.locator("#tip").inner_text()
    stage.report(foreign_mib=20_000)
    page.wait_for_function("() => document.getElementById('tip').textContent.includes('20 GiB')")
    assert page.evaluate("document.activeElement.dataset.id") == "foreign-GPU-b1"
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_the_server_refuses_what_the_page_thought_allowed_and_its_sentence_is_shown(stage: Stage, page: Any):
    page.context.add_cookies([{"name": "_token", "value": stage.served.tokens["vera"], "url": stage.served.url}])
    page.locator("#leases").get_by_role("button", name="End").first.click()
    page.locator("#act-reason").fill("mine")
    page.locator("#act-do").click()
    page.get_by_text("This needs an admin's rights.").wait_for()
    page.get_by_role("button", name="Leave it").click()
    assert page.locator("#leases tbody tr").count() >= 4


def test_who_had_to_stop_stands_first_among_the_events(page: Any):
    events = page.locator("#events li")
    assert "digits_lifecycle/manual__2026-11-21/train/-1 must stop within 240 s" in page.locator("#events").inner_text()
    assert "asks for" not in page.locator("#events").inner_text()
    page.get_by_role("button", name="Everything").click()
    assert events.count() > 10
    page.get_by_role("button", name="Nodes").click()
    assert "was cordoned by anna: a GPU is to be replaced" in page.locator("#events").inner_text()


def test_wherever_a_simulated_node_is_named_it_says_so(page: Any):
    page.get_by_role("button", name="Everything").click()
    for place in ("#waiting .why", "#leases td", "#events"):
        page.locator(f"{place} .sim").first.wait_for()


def test_a_lease_is_ended_by_force_with_a_reason(stage: Stage, page: Any):
    stage.ask("in the way", fraction=0.02, team="research")
    row = page.locator("#leases tr", has_text="in the way")
    row.get_by_role("button", name="End").click()
    page.locator("#act-do").click()
    assert page.locator("#act").is_visible(), "a reason is asked for"
    page.locator("#act-reason").fill("needed elsewhere")
    page.locator("#act-do").click()
    row.wait_for(state="detached")
    page.locator("#events .stop", has_text="ended by anna: needed elsewhere").wait_for()
