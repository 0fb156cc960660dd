"""A run's tab in a real browser: what became of it, what decided, its report."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import PROMOTED_RUN, TRIAL_RUN


def address(served: Served, run: str, dag: str = "digits_lifecycle") -> str:
    return f"{served.url}/lifecycle/run?dag={dag}&run={quote(run)}"


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, address(served, PROMOTED_RUN), "iframe")


def test_the_first_fold_answers(served: Served, page: Any) -> None:
    assert page.locator(".outcome .label").inner_text() == "✓ Promoted"
    assert "held its own in the trial" in page.locator(".outcome").inner_text()
    links = page.locator(".links a").evaluate_all("all => all.map(one => one.textContent)")
    assert links == ["run", "report in a window of its own", "MLflow", "its data", "digits now"]
    report = page.frame_locator("iframe")
    report.locator("h1").wait_for()
    assert report.locator("nav.contents a").first.inner_text() == "Data"
    assert page.problems == []


def test_the_contents_of_the_report_stay_in_sight(served: Served, context: Any) -> None:
    report = opened(context, f"{served.url}/lifecycle/report/{served.report}/?theme=dark", "nav.contents")
    report.locator("nav.contents a", has_text="Timings").click()
    assert report.locator("nav.contents").bounding_box()["y"] == pytest.approx(0, abs=2)
    assert report.locator("#timings").bounding_box()["y"] < 200
    assert report.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 30)", "Airflow's theme, not the system's"


def test_markdown_is_for_pasting(served: Served, page: Any) -> None:
    page.get_by_role("button", name="Copy as Markdown").click()
    text = page.locator("#markdown").input_value()
    assert text.startswith("## digits manual") and ": PROMOTED" in text and "| gate | PASS |" in text


def test_a_run_under_way_says_so_and_has_no_report_yet(served: Served, context: Any) -> None:
    found = opened(context, address(served, TRIAL_RUN), ".outcome")
    assert "Under way" in found.locator(".outcome .label").inner_text()
    assert "written when the run has ended" in found.locator("#report").inner_text()


@pytest.mark.parametrize(("dag", "run"), [("etl", "x"), ("digits_lifecycle", "gone")])
def test_a_run_of_somebody_elses_is_said(served: Served, context: Any, dag: str, run: str) -> None:
    found = opened(context, address(served, run, dag), ".empty")
    assert "not one of an Updraft model's" in found.locator(".empty").inner_text()


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
