"""Operators make models by the API and the page, of files that they send: bounded, theirs alone, checked, nothing written over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.kinds.check import check
from tests.include.new_model import files
from tests.plugins.lifecycle.api.conftest import Api
from tests.plugins.lifecycle.ui.conftest import browser, opened

__all__ = ["browser"]

TARGET = "gekündigt"
LONG_S = 120
"""A process of its own looks into a file, with pandas and Great Expectations: seconds, on a busy machine many."""
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.german(tmp_path_factory.mktemp("files") / "Kunden (Mai).csv", files.customers())


def models(api: Api) -> Path:
    return api.database.parent / "models"


def sent(api: Api, file: Path, user: str = "olaf") -> str:
    answer = api.call("POST", "new-model/uploads", user, params={"name": file.name}, data=file.read_bytes(), headers=RAW)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["upload"])


def asked(api: Api, path: str, user: str = "olaf", **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {api.tokens[user]}"}
    return api.session.post(f"{api.url}/lifecycle/v1/{path}", json=body, headers=headers, timeout=LONG_S)


def test_a_file_that_was_sent_becomes_a_model(api: Api, kept: Path) -> None:
    upload = sent(api, kept)
    seen = asked(api, "new-model/look", upload=upload, target=TARGET)
    assert seen.status_code == 200, seen.text
    found = seen.json()
    assert (found["separator"], found["decimal"], found["rows"]) == (";", ",", files.ROWS)
    plan = found["plan"]
    assert plan["task"] == "classification" and set(plan["use"]) == {"Tarif", "Monate", "Umsatz", "Rabatt"}
    answers = {"upload": upload, "name": "kunden", "target": TARGET, "template": "tabular", "use": ["Monate", "Tarif"], "rules": [0, 1, 3]}
    preview = asked(api, "new-model", **answers, preview=True)
    assert preview.status_code == 200 and not (models(api) / "kunden").exists()
    shown = {file["path"]: file["text"] for file in preview.json()["files"]}
    assert "train.py" in shown and 'columns: ["gekündigt", Tarif]' in shown["expectations.yaml"]
    made = asked(api, "new-model", **answers)
    assert made.json() == {"name": "kunden", "dag_id": "kunden_lifecycle", "made": True, "files": []}, made.text
    spec = check(models(api) / "kunden" / "model.yaml")
    assert set(spec.data.exclude) == {"Kunden-Nr", "Umsatz", "Rabatt", "Seit", "Notiz"}
    assert shown["model.yaml"] == (models(api) / "kunden" / "model.yaml").read_text()
    with sqlite3.connect(api.database) as database:
        [who] = database.execute("SELECT owner FROM log WHERE event = 'updraft_new_model'").fetchone()
    assert who == "olaf"
    [act] = api.get("audit?kind=model&name=kunden").json()
    assert (act["who"], act["act"]) == ("olaf", "model made") and act["entry"]
    gone = asked(api, "new-model/look", upload=upload)
    assert gone.status_code == 422 and "Send it again" in gone.json()["detail"]
    again = asked(api, "new-model", **answers | {"upload": sent(api, kept)})
    assert again.status_code == 422 and "already, which stays as it is" in again.json()["detail"]


def test_a_model_is_its_makers_teams(api: Api, kept: Path) -> None:
    answers = {"upload": sent(api, kept, "tina"), "name": "sehend", "target": TARGET, "template": "tabular", "preview": True}
    shown = {file["path"]: file["text"] for file in asked(api, "new-model", "tina", **answers).json()["files"]}
    assert "\nteam: vision\n" in shown["model.yaml"]
    refused = asked(api, "new-model", "tom", **answers | {"name": "blind"})
    assert refused.status_code == 403 and "operator" in refused.json()["detail"]
    assert api.call("POST", "new-model/uploads", "tom", params={"name": "a.csv"}, data=b"a", headers=RAW).status_code == 403


def test_a_file_in_a_data_folder_can_be_named_and_none_elsewhere(api: Api) -> None:
    folder = api.database.parent / "updraft" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    files.plain(folder / "a.csv", files.customers(60))
    (folder / "b.csv").symlink_to("/etc/passwd")
    assert asked(api, "new-model/look", file="data:a.csv").json()["rows"] == 60
    for file in ("data:../credentials.json", "data:b.csv", "/etc/passwd", "other:a.csv", "data:none.csv"):
        refused = asked(api, "new-model/look", file=file)
        assert refused.status_code == 422 and "root:" not in refused.json()["detail"], refused.text


@pytest.mark.parametrize(("user", "code"), [(None, 401), ("vera", 403), ("olaf", 200), ("anna", 200)])
def test_operators_make_models(api: Api, user: str | None, code: int) -> None:
    assert api.get("new-model", user).status_code == code
    body = {"params": {"name": "a.csv"}, "data": b"a,y\n", "headers": RAW}
    assert api.call("POST", "new-model/uploads", user, **body).status_code == (201 if code == 200 else code)


def test_what_somebody_sent_is_nobody_elses(api: Api, kept: Path) -> None:
    answer = asked(api, "new-model/look", "anna", upload=sent(api, kept))
    assert answer.status_code == 422 and "is no file that you have sent" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["../x.csv", "a/b.csv", "owner.json", "a.exe", "", "x" * 250 + ".csv"])
def test_a_name_that_is_no_tables_is_refused(api: Api, name: str) -> None:
    answer = api.call("POST", "new-model/uploads", "olaf", params={"name": name}, data=b"a,y\n", headers=RAW)
    assert answer.status_code == 422, answer.text


def test_a_file_over_the_bound_is_refused_and_nothing_of_it_stays(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * (1 << 20)

    before = len(list((api.database.parent / "updraft" / "uploads").iterdir()))
    # Chunked, without an announced length: what comes is counted.
    answer = api.call("POST", "new-model/uploads", "olaf", params={"name": "a.csv"}, data=endless(), headers=RAW)
    assert answer.status_code == 413, answer.text
    announced = api.call("POST", "new-model/uploads", "olaf", params={"name": "a.csv"}, data=b"x" * (33 << 20), headers=RAW)
    assert announced.status_code == 413
    assert len(list((api.database.parent / "updraft" / "uploads").iterdir())) == before


def test_bad_data_is_refused_with_a_sentence(api: Api, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n" + "1,no\n2,no\n" * 20)
    answer = asked(api, "new-model/look", upload=sent(api, tmp_path / "a.csv"), target="y")
    assert answer.status_code == 422 and "holds only one value, 'no'" in answer.json()["detail"]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    answer = asked(api, "new-model/look", upload=sent(api, tmp_path / "b.parquet"))
    assert answer.status_code == 422 and "no readable Parquet" in answer.json()["detail"]


@pytest.fixture
def page(api: Api, browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    context.add_cookies([{"name": "_token", "value": api.tokens["olaf"], "url": api.url}])
    context.set_default_timeout(LONG_S * 1000)
    found = opened(context, f"{api.url}/lifecycle/new-model", "#look:not([disabled])")
    yield found
    context.close()


def test_a_newcomer_makes_a_model_on_the_page(api: Api, page: Any, kept: Path) -> None:
    page.locator("#file").set_input_files(str(kept))
    page.locator("#look").click()
    page.locator("#target").wait_for()
    page.locator("#target").select_option(TARGET)
    page.locator("#name").wait_for()
    assert page.locator("#name").input_value() == "kunden_mai"
    assert "5 %" in page.locator("#rules tr", has_text="Monate").first.inner_text()
    page.get_by_label("The model sees Umsatz").uncheck()
    assert page.locator("#rules tr", has_text="Umsatz").count() == 0
    page.locator("input[name=template][value=boosted]").check()
    page.locator("#name").fill("am_schirm")
    page.locator("#preview").click()
    page.locator("#files summary", has_text="model.yaml").click()
    assert "- Umsatz" in page.locator("#files pre", has_text="name: am_schirm").inner_text()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#go").click()
    page.get_by_text("am_schirm is there, and checked").wait_for()
    assert (models(api) / "am_schirm" / "train.py").read_text().startswith('"""Gradient boosting')
    assert page.locator(".done a").get_attribute("href").endswith("/dags/am_schirm_lifecycle")
    assert page.problems == []


def test_a_refusal_is_said_and_what_was_chosen_stays(page: Any, tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title='hacked'>"
    (tmp_path / "a.csv").write_text(f"a,a,{evil},y\n" + "".join(f"{n},{n % 7},{evil},{'ab'[n % 2]}\n" for n in range(60)))
    page.locator("#file").set_input_files(str(tmp_path / "a.csv"))
    page.locator("#look").click()
    page.locator("#go").wait_for()
    page.locator("#name").fill("doppelt")
    page.locator("#go").click()
    page.wait_for_selector("#problem:not([hidden])")
    assert "the column 'a' is there twice" in page.locator("#problem").inner_text()
    page.locator("#mend").check()
    page.locator("#go").click()
    page.get_by_text("doppelt is there, and checked").wait_for()
    assert page.title() == "New model" and page.locator("img").count() == 0
