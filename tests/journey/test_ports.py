"""What a stranger on this machine, and a page of another origin in a browser here, can do at each door of a running platform."""

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.platform import listeners
from include.runtime import family
from tests.journey.doors import DOORS, answered, door_of
from tests.journey.site import Site
from tests.plugins.lifecycle.ui.conftest import CHROMIUM, FLAGS

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]


def listening(site: Site) -> list[listeners.Listener]:
    return listeners.of(family.family(str(site.settings.home)))


def test_everything_that_listens_is_known_and_on_loopback_or_its_owners_alone(site: Site, champion: int):
    found = listening(site)
    unknown = [one for one in found if door_of(site.settings, one) is None]
    assert not unknown, "write down in tests/journey/doors.py what it answers to strangers"
    assert not [one for one in found if not one.loopback]
    # supervisord binds its socket under another name and renames it: the kernel goes on telling the first.
    files = [file for one in found if one.kind == "unix" and one.host and (file := Path(one.host)).exists()]
    assert files and not [file for file in files if file.stat().st_mode & 0o077]
    there = {door_of(site.settings, one).name for one in found}
    assert {"gateway", "mlflow", "run door", "airflow", "revision", "supervisord", "envoy's administration"} <= there


@pytest.mark.parametrize("name", ["gateway", "mlflow", "run door", "airflow", "revision"])
def test_a_stranger_is_refused_everywhere(site: Site, champion: int, name: str):
    door = next(door for door in DOORS if door.name == name)
    ports = {one.port for one in listening(site) if door.is_it(site.settings, one)}
    asked, told = set(door.asked(site.settings)), []
    assert ports and len(asked) > 8
    for port in ports:
        for ask in sorted(asked):
            answer = answered(f"http://{site.settings.host}:{port}", ask)
            allowed = next((text for path, text in door.open.items() if re.fullmatch(path, ask[1])), None)
            if answer.status_code in door.refused or (allowed is not None and re.fullmatch(allowed, answer.text)):
                continue
            told.append((*ask, answer.status_code, answer.text[:80]))
    assert not told


@pytest.fixture
def page() -> Iterator[object]:
    """A page of another origin, in a browser on this machine."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: make chromium")
    from playwright.sync_api import sync_playwright

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        found = chromium.new_page()
        found.goto(f"http://127.0.0.1:{server.server_port}/")
        yield found
        chromium.close()
    server.shutdown()


READ = """async ([url, method]) => {
  try {
    const answer = await fetch(url, {method, credentials: "include", headers: {"content-type": "text/plain"},
                                     signal: AbortSignal.timeout(3000), body: method == "GET" ? undefined : "{}"});
    return answer.status + " " + (await answer.text()).slice(0, 80);
  } catch (error) { return "refused"; }
}"""


def test_a_page_of_another_origin_reads_nothing_at_any_door(site: Site, champion: int, page):
    read = []
    for one in listening(site):
        door = door_of(site.settings, one)
        if one.kind != "tcp" or door is None:
            continue
        asks = {
            *list(sorted(set(door.asked(site.settings))))[:12],
            ("GET", "/health"),
            ("GET", "/v2/health/live"),
            ("GET", "/openapi.json"),
        }
        for method, path in sorted(asks):
            said = page.evaluate(READ, [f"http://{site.settings.host}:{one.port}{path}", method])
            if said != "refused":
                read.append((door.name, method, path, said))
    assert not read


def test_a_page_of_another_origin_reads_nothing_by_the_login_that_a_browser_keeps(site: Site, page):
    """MLflow's own middleware would let every origin of this machine in."""
    context = page.context.browser.new_context(http_credentials={"username": "admin", "password": site.credentials.mlflow_password})
    other = context.new_page()
    other.goto(site.settings.mlflow_url + "/version")
    assert other.evaluate(READ, [f"{site.settings.mlflow_url}/api/2.0/mlflow/experiments/get?experiment_id=0", "GET"]).startswith("200")
    other.goto(page.url)
    for method, path in (("GET", "experiments/get?experiment_id=0"), ("POST", "experiments/create")):
        assert other.evaluate(READ, [f"{site.settings.mlflow_url}/api/2.0/mlflow/{path}", method]) == "refused"
