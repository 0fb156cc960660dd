"""A model's page in a real browser: its trial as a control room, its versions, how to call it."""

import ast
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.canary.asked import Asked
from tests.include.report import runs
from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL, TRIAL_RUN

KEY = f"digits_lifecycle/{TRIAL_RUN}"


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, f"{served.url}/lifecycle/model?name=digits", "section.trial svg.curve")


@pytest.fixture
def no_orders(served: Served) -> Iterator[None]:
    yield
    with sqlite3.connect(served.database, timeout=30) as database:
        database.execute("DELETE FROM updraft_trial_order")


def test_it_shows_who_serves_and_who_is_on_trial(page: Any) -> None:
    assert page.locator(".fact.champion dd").inner_text() == "v2" and page.locator(".fact.challenger dd").inner_text() == "v3"
    assert page.locator(".live .bar").get_attribute("aria-label") == "v2 90 %, v3 10 %"
    assert page.problems == []


def test_the_trial_has_a_rail_a_clock_lamps_and_curves(page: Any) -> None:
    trial = page.locator("section.trial")
    assert trial.locator(".rail li b").all_inner_texts() == ["10 %", "25 %", "50 %", "promote"]
    assert trial.locator(".rail [aria-current=step] b").inner_text() in ("25 %", "50 %")
    assert "at the latest" in trial.locator("#countdown").inner_text() or "next look" in trial.locator("#countdown").inner_text()
    assert trial.locator(".rule").count() >= 4 and "canary at least" in trial.locator(".rule").first.inner_text()
    assert trial.locator("svg.curve").count() == 4
    assert len(trial.locator("path.line.canary").first.get_attribute("d")) > 40


def test_a_new_look_appears_by_itself(served: Served, page: Any) -> None:
    rows, _ = runs.trial(seed=3)
    before = str(page.locator(".trial path.line.stable").first.get_attribute("d"))
    with sqlite3.connect(served.database, timeout=30) as database:
        entries = "SELECT entry FROM updraft_look UNION ALL SELECT entry FROM updraft_verdict"
        last = database.execute(f"SELECT max(entry) FROM ({entries})").fetchone()[0]
        seen = database.execute("SELECT count(*) FROM updraft_look WHERE run_key = ?", (KEY,)).fetchone()[0]
        row = (last + 1, KEY, seen, json.dumps(rows[seen]["body"]), "2026-11-21 02:41:30.000000")
        columns = "entry, run_key, number, body, at, author, previous, hash"
        database.execute(f"INSERT INTO updraft_look ({columns}) VALUES (?, ?, ?, ?, ?, 'updraft', '', '')", row)
    points = "([line, n]) => document.querySelector(line)?.getAttribute('d').split(',').length === n"
    page.wait_for_function(points, arg=[".trial path.line.stable", before.count(",") + 2])


def test_an_operator_pauses_and_resumes_a_trial_with_a_reason(served: Served, operator: Any, no_orders: None) -> None:
    page = opened(operator, f"{served.url}/lifecycle/model?name=digits", "section.trial svg.curve")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    assert page.locator("dialog").count() == 1, "without a reason nothing is done"
    page.locator("dialog textarea").fill("the data team looks first")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    page.locator("#countdown", has_text="Paused").wait_for()
    assert "paused by olaf" in page.locator(".orders").inner_text() and "the data team looks first" in page.locator(".orders").inner_text()
    page.get_by_role("button", name="Resume").click()
    page.locator("dialog textarea").fill("they are done")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    assert page.problems == []


def test_a_viewer_is_told_why_he_may_not(page: Any) -> None:
    page.get_by_role("button", name="End trial").click()
    page.locator("dialog textarea").fill("I want to")
    page.get_by_role("dialog").get_by_role("button", name="End trial").click()
    page.locator("dialog .bad", has_text="operator's rights").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "End trial", "focus goes back"


def test_a_trial_that_nobody_calls_says_so_and_gives_a_client(served: Served, context: Any) -> None:
    answer = served.get("v1/trial", params={"run_key": KEY}).json()
    rules = [rule | {"passed": None} for rule in answer["rules"]]
    page = context.new_page()
    page.route("**/v1/trial*", lambda route: route.fulfill(json={**answer, "per_s": None, "requests": 0, "rules": rules}))
    page.goto(f"{served.url}/lifecycle/model?name=digits")
    page.locator(".silent").wait_for()
    assert "v3 has not had a single request" in page.locator(".silent").inner_text()
    assert "at this rate never" in page.locator(".rule", has_text="requests").first.inner_text()


def test_versions_say_why_they_went_up_or_down_and_two_can_be_compared(page: Any) -> None:
    line = page.locator(".line-of-versions li")
    assert line.evaluate_all("all => all.map(one => one.dataset.key)") == ["1", "2", "3"]
    assert "promoted" in line.nth(1).inner_text() and "the canary got" in line.nth(1).inner_text()
    row = page.locator("tr[data-key=v2]").first.inner_text()
    assert "champion since" in row and "accuracy 0.9" in row and "warm" in row
    for version in (1, 2):
        page.locator(f"input[name=compare][value='{version}']").check()
    page.locator("[data-do=compare]").click()
    page.locator(".compare").wait_for()
    assert "Nothing is kept of version 1" in page.locator(".compare").inner_text()


def test_texts_of_the_database_stay_texts(page: Any) -> None:
    assert EVIL in page.locator("main").inner_text()
    assert page.locator("img").count() == 0 and page.title() == "digits"


def test_what_a_reader_has_opened_stays_open(served: Served, page: Any) -> None:
    page.locator("summary", has_text="earlier").click()
    with sqlite3.connect(served.database, timeout=30) as database:
        database.execute("UPDATE updraft_revision SET message = 'stirred' WHERE version = 2")
    page.get_by_text("stirred").wait_for()
    assert page.locator("details", has_text="earlier").last.get_attribute("open") is not None


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_tab_of_a_dag_shows_its_model_and_says_when_there_is_none(served: Served, context: Any) -> None:
    page = opened(context, f"{served.url}/lifecycle/model?dag=digits_rollback", ".fact.champion")
    assert page.locator("h1").inner_text() == "digits" and page.locator("#back a").count() == 0
    other = opened(context, f"{served.url}/lifecycle/model?dag=etl", ".empty")
    assert other.locator(".empty").inner_text() == "The DAG etl is not one of Updraft's models."


def test_a_language_models_trial_shows_its_tokens_and_right_answers(context: Any, served: Served) -> None:
    asked = Asked(3, known=3, right=2, lost=1)
    verdict = runs.chat_trial(asked=asked, bad=0.05)
    shown = served.get("v1/trial", params={"run_key": KEY}).json()
    body = shown | {
        "plan": verdict.evidence["plan"],
        "series": verdict.evidence["series"],
        "decision": "CONTINUE",
        "reasons": [],
        "rules": [],
    }
    page = context.new_page()
    page.route("**/v1/trial*", lambda route: route.fulfill(json=body))
    page.goto(f"{served.url}/lifecycle/model?name=digits")
    page.wait_for_selector(".trial svg.curve")
    titles = page.locator(".trial figure h3").all_inner_texts()
    assert titles[4:6] == ["Time to the first token, p50 and p95 (thin)", "Time of each further token, p50 and p95 (thin)"]
    assert titles[6] == "Answers cut off or empty" and titles[7].startswith("Right answers to ")
    lines = page.locator(".trial path.line.canary").evaluate_all("all => all.map((one) => one.getAttribute('d').length)")
    assert min(lines) > 40


def test_the_code_to_call_it_is_code_whatever_the_row_holds(served: Served, context: Any, tmp_path: Path) -> None:
    row = {"name": 'it\'s "null" and $HOME', "sure": True, "none": None, "size": 1.5}
    kinds = {"size": ("FP32", 1.5), "sure": ("BOOL", True)}
    tensors = [{"name": name, "datatype": kind, "shape": [1, 1], "data": [value]} for name, (kind, value) in kinds.items()]
    answer = served.get("v1/calling", params={"model": "digits"}).json()
    answer |= {"path": "/v1/models/digits:predict", "body": {"instances": [row]}, "tensors": tensors, "why": ""}
    page = context.new_page()
    page.route("**/v1/calling*", lambda route: route.fulfill(json=answer))
    page.goto(f"{served.url}/lifecycle/model?name=digits")
    texts = {}
    for way in ("curl", "requests", "tritonclient"):
        page.locator(f"button[value={way}]").click()
        page.locator(f"button[value={way}][aria-pressed=true]").wait_for()
        texts[way] = page.locator("#snippet").inner_text()
    calls = [node for node in ast.walk(ast.parse(texts["requests"])) if isinstance(node, ast.Call)]
    call = next(node for node in calls if ast.unparse(node.func) == "requests.post")
    assert ast.literal_eval(next(part.value for part in call.keywords if part.arg == "json")) == {"instances": [row]}
    compile(texts["tritonclient"], "snippet", "exec")
    assert "dtype=np.float32" in texts["tritonclient"] and "True" in texts["tritonclient"]
    script = tmp_path / "call.sh"
    script.write_text(texts["curl"].replace("curl ", 'printf "%s\\n" ', 1))
    sent = subprocess.run(["bash", script], capture_output=True, text=True, check=True, env={"UPDRAFT_KEY": "k"}).stdout.splitlines()
    assert json.loads(sent[-1]) == {"instances": [row]}
