import json
import sqlite3
from typing import Any

import pytest

from include.canary.asked import Asked
from tests.include.report import runs
from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL, TRIAL_RUN


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, f"{served.url}/lifecycle/ui", "section.model")


def section(page: Any, model: str = "digits") -> Any:
    return page.locator(f"section[aria-label={model}]")


def test_it_shows_who_serves_and_who_is_on_trial(page: Any) -> None:
    digits = section(page)
    assert digits.locator("li.champion b").inner_text() == "v2"
    assert digits.locator("li.challenger b").inner_text() == "v3"
    assert digits.locator(".split li").all_inner_texts() == ["v2: 90 %", "v3: 10 %"]
    assert page.problems == []


def test_a_running_canary_has_its_curves_and_says_why_it_waits(page: Any) -> None:
    trial = section(page).locator(".trial")
    assert trial.locator("svg.curve").count() == 4
    assert "Why it is waiting" in trial.inner_text() and "errors: " in trial.inner_text()
    assert len(trial.locator("path.line.canary").first.get_attribute("d")) > 40


def test_texts_of_the_database_stay_texts(page: Any) -> None:
    assert EVIL in section(page).inner_text()
    assert page.locator("img").count() == 0 and page.title() == "Lifecycle"


def test_a_new_look_appears_by_itself(served: Served, page: Any) -> None:
    rows, _ = runs.trial(seed=3)
    line = section(page).locator(".trial path.line.stable").first
    before = str(line.get_attribute("d"))
    with sqlite3.connect(served.database, timeout=30) as database:
        key = f"digits_lifecycle/{TRIAL_RUN}"
        entries = "SELECT entry FROM updraft_look UNION ALL SELECT entry FROM updraft_verdict"
        last = database.execute(f"SELECT max(entry) FROM ({entries})").fetchone()[0]
        seen = database.execute("SELECT count(*) FROM updraft_look WHERE run_key = ?", (key,)).fetchone()[0]
        row = (last + 1, key, seen, json.dumps(rows[seen]["body"]), "2026-11-21 02:41:30.000000")
        columns = "entry, run_key, number, body, at, author, previous, hash"
        database.execute(f"INSERT INTO updraft_look ({columns}) VALUES (?, ?, ?, ?, ?, 'updraft', '', '')", row)
    points = "([line, n]) => document.querySelector(line)?.getAttribute('d').split(',').length === n"
    page.wait_for_function(points, arg=[".trial path.line.stable", before.count(",") + 2])


def test_what_a_reader_has_opened_stays_open(served: Served, page: Any) -> None:
    details = section(page).locator("details")
    details.locator("summary").click()
    with sqlite3.connect(served.database, timeout=30) as database:
        database.execute("UPDATE updraft_revision SET message = 'stirred' WHERE version = 1")
    section(page).get_by_text("stirred").wait_for()
    assert section(page).locator("details").get_attribute("open") is not None


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
    frame.locator("section.model").first.wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    frame.get_by_role("link", name="run", exact=True).first.click()
    outer.wait_for_url("**/dags/digits_lifecycle/runs/*")


def test_the_report_opens_beside_it_with_its_style_and_without_scripts(served: Served, page: Any, context: Any) -> None:
    section(page).locator("summary").click()
    with context.expect_page() as opened:
        section(page).get_by_role("link", name="report", exact=True).click()
    report = opened.value
    report.wait_for_selector("h1")
    assert report.url == f"{served.url}/lifecycle/report/{served.report}/"
    assert report.evaluate("getComputedStyle(document.querySelector('figure')).borderRadius") == "8px"
    assert report.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_lost_session_is_said(served: Served, page: Any, context: Any) -> None:
    context.clear_cookies()
    page.wait_for_selector("#problem:not([hidden])")
    assert "Log in" in page.locator("#problem").inner_text()
    assert section(page).locator("li.champion b").inner_text() == "v2", "what was known stays in sight"


def test_the_ended_runs_reasons_are_there(page: Any) -> None:
    section(page).locator("summary").click()
    ended = section(page).locator("li.run", has_text="canary")
    assert "percentage points" in ended.last.inner_text()


def test_what_is_on_trial_comes_first_and_an_idle_model_says_how_to_begin(page: Any) -> None:
    assert page.locator("section.model").evaluate_all("all => all.map(one => one.ariaLabel)") == ["digits", "diabetes", "signs", "tinychat"]
    assert section(page, "diabetes").get_by_role("link", name="diabetes_lifecycle").count() == 1


def test_a_language_models_trial_shows_its_tokens_and_right_answers(context: Any, served: Served) -> None:
    asked = Asked(3, known=3, right=2, lost=1)
    verdict = runs.chat_trial(asked=asked, bad=0.05)
    body = {"plan": verdict.evidence["plan"], "series": verdict.evidence["series"], "decision": "CONTINUE", "reasons": [], "rules": []}
    page = context.new_page()
    page.route("**/v1/trial*", lambda route: route.fulfill(json={**body, "run_key": "a/b", "mirrored": False, "waiting": []}))
    page.goto(f"{served.url}/lifecycle/ui")
    page.wait_for_selector(".trial svg.curve")
    titles = page.locator(".trial figure h4").all_inner_texts()
    assert titles[4:6] == ["Time to the first token, p50 and p95 (thin)", "Time of each further token, p50 and p95 (thin)"]
    assert titles[6] == "Answers cut off or empty" and titles[7].startswith("Right answers to ")
    lines = page.locator(".trial path.line.canary").evaluate_all("all => all.map((one) => one.getAttribute('d').length)")
    assert min(lines) > 40
