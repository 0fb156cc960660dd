"""What a month has cost: by REST, as CSV, on the page; and the price table behind it."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL, NOW, PROMOTED_RUN

HOUR = 98.32 / 8
RUN = f"digits_lifecycle/{PROMOTED_RUN}"


@pytest.fixture
def prices(served: Served) -> Iterator[Served]:
    """The server; prices are the project's again in the end."""
    yield served
    assert served.put("v1/prices", {"changes": {}}).status_code == 200


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, f"{served.url}/lifecycle/cost", "#cost section.sheet")


def test_a_month_is_told_by_run_model_and_team(served: Served) -> None:
    found = served.get("v1/cost").json()
    lines = {(line["run"] or line["what"], line["gpu"]): line for line in found["gpus"]}
    trained = lines[RUN, "H100-80GB"]
    assert (trained["leases"], trained["model"], trained["team"]) == (2, "digits", "vision")
    assert trained["cost"] == pytest.approx(trained["gpu_hours"] * HOUR, rel=1e-6)
    assert lines["notebook", "H100-80GB"]["cost"] == 0 and lines["notebook", "H100-80GB"]["simulated"]
    serving = lines["serving, version 2", "H100-80GB"]
    assert serving["spot"] and serving["running"] == 1 and serving["cost"] == pytest.approx(serving["gpu_hours"] * HOUR * 0.3, rel=1e-6)
    assert lines["other/run", "GB10"]["cost"] is None and found["total"]["unpriced"]
    assert {one["name"] for one in found["by_team"]} >= {"vision", EVIL, "text"}
    assert found["total"]["cost"] == pytest.approx(sum(line["cost"] or 0 for line in found["gpus"]))
    assert {(line["client"], line["cost"]) for line in found["tokens"]} == {("demo", None), (EVIL, None)}


def test_another_month_is_empty_and_what_is_no_month_is_refused(served: Served) -> None:
    assert served.get("v1/cost?month=2020-02").json()["gpus"] == []
    assert served.get("v1/cost?month=2020-13").status_code == 422


def test_the_csv_has_the_same_lines(served: Served) -> None:
    answer = served.get("v1/cost?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv") and f"cost-{NOW:%Y-%m}.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == sum(len(served.get("v1/cost").json()[part]) for part in ("gpus", "tokens"))
    [trained] = [row for row in rows if row["run"] == RUN]
    assert float(trained["cost"]) == pytest.approx(float(trained["gpu_hours"]) * HOUR, rel=1e-3, abs=1e-5)


def test_an_admin_sets_prices_and_nobody_else(prices: Served) -> None:
    changes = {"gpus": {"GB10": 2}, "tokens": {"*": {"prompt": 1_000_000, "completion": 0}}}
    assert prices.put("v1/prices", {"changes": changes}, admin=False).status_code == 403
    assert prices.put("v1/prices", {"changes": changes}).json()["prices"]["gpus"] == {"GB10": 2}
    found = prices.get("v1/cost").json()
    assert not found["total"]["unpriced"]
    assert sum(line["cost"] for line in found["tokens"]) == sum(line["prompt_tokens"] for line in found["tokens"])
    wrong = prices.put("v1/prices", {"changes": {"gpus": {"GB10": "much"}}})
    assert wrong.status_code == 422 and "gpus.GB10" in wrong.json()["detail"]
    assert prices.get("v1/prices").json()["changes"] == changes


def test_the_page_shows_sums_and_lines_as_text(page: Any) -> None:
    teams = page.locator("section[aria-label='By team'] tbody tr").all_inner_texts()
    assert any(EVIL in text for text in teams) and page.locator("img").count() == 0 and page.title() == "Cost"
    lines = page.locator("section[aria-label='GPUs by run'] tbody tr").all_inner_texts()
    assert any("simulated: free" in text for text in lines) and any("no price" in text for text in lines)
    assert page.locator("section[aria-label='GPUs by run'] a").first.get_attribute("href").split("/runs/")[1] == PROMOTED_RUN.replace(
        ":", "%3A"
    ).replace("+", "%2B")
    assert page.locator("#prices details").count() == 0, "a viewer changes no prices"
    assert page.problems == []


def test_another_month_can_be_chosen(page: Any) -> None:
    page.locator("#month").fill("2020-02")
    page.get_by_text("Nothing was used in February 2020").wait_for()
    assert page.locator("#csv").get_attribute("href").endswith("month=2020-02&format=csv")


def test_an_admin_changes_prices_on_the_page(prices: Served, browser: Any) -> None:
    context = browser.new_context()
    context.add_cookies([{"name": "_token", "value": prices.admin, "url": prices.url}])
    page = opened(context, f"{prices.url}/lifecycle/cost", "#prices details")
    page.locator("#prices summary").click()
    page.locator("#changes").fill("{")
    page.get_by_role("button", name="Set the prices").click()
    page.get_by_text("That is no JSON").wait_for()
    page.locator("#changes").fill('{"gpus": {"GB10": 2}}')
    page.get_by_role("button", name="Set the prices").click()
    page.locator("#prices tbody tr", has_text="GB10").wait_for()
    page.locator("section[aria-label='GPUs by run'] tbody tr", has_text="GB10").get_by_text("$").wait_for()
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
