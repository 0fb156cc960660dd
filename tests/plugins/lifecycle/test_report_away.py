"""A report's page while MLflow is away, and when there is none."""

import pytest

from include.errors import InputError
from include.registry.mlflow import Mlflow
from lifecycle.api import pages
from tests.ports import free_port

RUN = "ab12"


def test_while_mlflow_is_away_a_page_says_so_and_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "registry", lambda: Mlflow(f"http://127.0.0.1:{free_port()}", timeout_s=2, retries=0))
    answer = pages.report(RUN, theme="dark")
    text = bytes(answer.body).decode()
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "10"
    assert 'http-equiv="refresh"' in text and "does not answer" in text and "sandbox" in answer.headers["Content-Security-Policy"]
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_a_report_that_there_is_not_is_404_and_its_cause_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Registry:
        def read(self, run: str, path: str) -> bytes:
            raise InputError("<b>none</b>")

    monkeypatch.setattr(pages, "registry", Registry)
    answer = pages.report(RUN)
    assert answer.status_code == 404 and "&lt;b&gt;none" in bytes(answer.body).decode() and "refresh" not in bytes(answer.body).decode()
