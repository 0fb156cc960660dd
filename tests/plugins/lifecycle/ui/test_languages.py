"""The pages of figures in the language that is chosen in Airflow: their texts, numbers, days and money."""

from typing import Any

import pytest

from tests.plugins.lifecycle.ui.conftest import Served, opened
from tests.plugins.lifecycle.ui.served import NOW

TODAY = f"{NOW.year}年{NOW.month}月{NOW.day}日"
SAID = {
    "usage": ("section.sheet", "用量", ("US$0.53", TODAY, "每分钟 60 个请求、20,000 个词元", "Server s")),
    "cost": ("#prices tbody tr", "费用", ("US$12.29", "服务，版本 2", "模拟：免费", "GPU-hours")),
    "audit": ("#audit tbody tr", "审计", ("设置价格", "价格", TODAY, "prices set")),
    "new-model": ("#look:enabled", "新建模型", ("从此处上传最多 2,048 MiB。", "查看数据", "自动识别", "Look into it")),
}
"""What shows that a page is there, its title, what it says, and last what it would say in English."""


@pytest.mark.parametrize("path", SAID)
def test_a_page_speaks_chinese_where_airflow_does(served: Served, browser: Any, path: str) -> None:
    shows, title, (*words, english) = SAID[path]
    assert served.put("v1/prices", {"changes": {}}).status_code == 200
    context = browser.new_context()
    context.add_cookies([{"name": "_token", "value": served.admin, "url": served.url}])
    context.add_init_script("localStorage.setItem('i18nextLng', 'zh-CN')")
    page = opened(context, f"{served.url}/lifecycle/{path}", shows)
    text = page.locator("body").text_content()
    assert (page.title(), page.locator("h1").inner_text(), page.locator("html").get_attribute("lang")) == (title, title, "zh-CN")
    assert [word for word in words if word not in text] == [] and english not in text
    assert page.problems == []
    context.close()
