import pytest

from tests.plugins.lifecycle.ui.conftest import opened


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shot(served, browser, width, scheme):
    served.put("v1/prices", {"changes": {}})
    served.put("v1/budgets/team/vision", {"gpu_hours": 8, "why": "A pilot."})
    served.put("v1/budgets/model/digits", {"tokens": 8, "why": "x" * 200})
    context = browser.new_context()
    context.add_cookies([{"name": "_token", "value": served.admin, "url": served.url}])
    for name, shows in (("cost", "#budgets tbody"), ("audit", "#audit tbody")):
        page = opened(context, f"{served.url}/lifecycle/{name}", shows)
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=f"/tmp/ud-teams/{name}-{width}-{scheme}.png", full_page=True)
    context.close()
