"""The last hours of a model on its page, out of the gateway's log."""

import time
from typing import Any

from tests.include.gateway.test_past import line
from tests.plugins.lifecycle.ui.conftest import Served, opened

HOURS = "[data-key=hours]"


def test_what_a_model_was_asked_in_the_last_hours_is_drawn(served: Served, context: Any) -> None:
    address, now_s = f"{served.url}/lifecycle/model?name=signs", time.time()
    assert "Nobody has called it." in opened(context, address, HOURS).locator(HOURS).inner_text()
    with (served.database.parent / "updraft" / "logs" / "gateway_access.log").open("a") as log:
        for ago_s in range(3600, 600, -2):  # half a request a second, of which every hundredth fails
            status = 500 if ago_s % 200 == 0 else 200
            log.write(line(now_s - ago_s, "signs", path="/v2/models/signs/infer", status=status, revision="1", served_by="1"))
    page = opened(context, address, f"{HOURS} svg.curve")
    shown = page.locator(HOURS)
    assert shown.locator("h3").all_inner_texts() == ["Requests a minute", "Time of answers"]
    ticks = [float(text) for text in shown.locator("svg").first.locator("text").all_text_contents() if text.isdigit()]
    assert max(ticks) == 30, "a minute's"
    assert all(path.startswith("M") for path in shown.locator("path.line").evaluate_all("all => all.map(one => one.getAttribute('d'))"))
    assert "4 ms" in shown.locator("svg").last.text_content() and page.problems == []
