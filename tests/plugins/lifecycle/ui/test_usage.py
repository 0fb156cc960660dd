from datetime import timedelta
from typing import Any

import pytest

from include.gateway.metering import INSTANCES, Usage
from lifecycle.api.usage import metrics_text
from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import EVIL, NOW

TODAY, YESTERDAY = (NOW.date().isoformat(), (NOW - timedelta(days=1)).date().isoformat())


@pytest.fixture
def page(served: Served, context: Any) -> Any:
    return opened(context, f"{served.url}/lifecycle/usage", "section.sheet")


def test_usage_is_told_by_day_key_and_model(served: Served) -> None:
    found = served.get("v1/usage?days=2").json()
    rows = [(row["day"], row["client"], row["requests"], row["prompt_tokens"], row["completion_tokens"]) for row in found["rows"]]
    assert rows == [(YESTERDAY, "demo", 1, 120, 30), (TODAY, EVIL, 1, 120, 30), (TODAY, "demo", 1, 120, 30)]
    assert found["rows"][0]["usd"] == pytest.approx(0.53)
    assert found["limits"] == {"demo": {"requests": 60, "tokens": 20000}}


def test_days_and_prices_can_be_chosen(served: Served) -> None:
    found = served.get("v1/usage?days=1&priced_as=p5.48xlarge").json()
    assert {row["day"] for row in found["rows"]} == {TODAY}
    assert found["rows"][0]["usd"] == pytest.approx(98.32 / 3600)


@pytest.mark.parametrize("query", ["days=0", "days=many", "priced_as=cheap"])
def test_a_wrong_choice_is_refused(served: Served, query: str) -> None:
    assert served.get(f"v1/usage?{query}").status_code == 422


def test_prometheus_gets_counters_without_keys(served: Served) -> None:
    answer = served.get("v1/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'updraft_llm_answers_total{client="demo",model="tinychat"} 2' in lines
    assert 'updraft_llm_tokens_total{client="demo",model="tinychat",kind="prompt"} 240' in lines
    assert 'updraft_llm_tokens_total{client="demo",model="tinychat",kind="completion"} 60' in lines
    assert "# TYPE updraft_llm_tokens_total counter" in lines
    [cost] = [line for line in lines if line.startswith('updraft_llm_cost_usd_total{client="demo"')]
    assert float(cost.split()[-1]) == pytest.approx(0.53 + 0.53 / 3600)
    assert 'instance="g4dn.xlarge"' in cost


def test_large_counts_and_odd_names_are_written_whole() -> None:
    text = metrics_text([Usage("2026-11-21", 'a"b\\c\nd', "m", requests=123_456_789)], "g4dn.xlarge", INSTANCES["g4dn.xlarge"])
    assert r'updraft_llm_answers_total{client="a\"b\\c\nd",model="m"} 123456789' in text.splitlines()


def test_the_page_adds_up_by_key_and_model(page: Any) -> None:
    rows = page.locator("section[aria-label='By key and model'] tbody tr").all_inner_texts()
    assert [row.split("\t")[:5] for row in rows] == [["demo", "tinychat", "2", "240", "60"], [EVIL, "tinychat", "1", "120", "30"]]
    assert "60 requests, 20,000 tokens a minute" in rows[0] and "no limit" in rows[1]
    assert page.locator(".sums b").all_inner_texts()[:3] == ["3", "360", "90"]
    assert page.locator("tfoot").first.inner_text().split("\t")[:4] == ["All", "3", "360", "90"]
    assert page.problems == []


def test_texts_of_the_log_stay_texts(page: Any) -> None:
    assert page.locator("img").count() == 0 and page.title() == "Usage"


def test_each_day_has_a_bar_and_the_days_can_be_chosen(page: Any) -> None:
    assert page.locator(".bars rect").count() == 4, "two days of prompts and answers"
    page.locator("#days").select_option("7")
    first = NOW - timedelta(days=6)
    page.get_by_text(f"{first:%b} {first.day}, {first.year}", exact=True).wait_for()
    page.locator("#instance").select_option("p5.48xlarge")
    page.get_by_text("Priced as p5.48xlarge").wait_for()
    assert page.locator(".sums b").last.inner_text() == "$98.37"


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 22, 30)")


def test_a_lost_session_is_said(page: Any, context: Any) -> None:
    context.clear_cookies()
    page.locator("#days").select_option("90")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Log in" in page.locator("#problem").inner_text()
    assert page.locator("section.sheet").count() == 3, "what was known stays in sight"
