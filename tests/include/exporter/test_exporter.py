"""What Prometheus reads: the platform's own figures, each server behind its key, and nothing for strangers."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from include.errors import InputError
from include.exporter import figures
from include.exporter.server import app
from include.exporter.sources import Silent, budget, certificates

TOKEN = "token-0123456789"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Sources:
    """What the door is to pass on; how it is found is seen on a running platform."""

    def platform(self) -> str:
        return "updraft_gateway_up 1\n"

    def gateway(self) -> str:
        raise Silent("Envoy does not answer.")

    def plugin(self, job: str) -> str:
        return {"lifecycle": "a 1\n"}[job]

    def server(self, model: str, version: str, number: int = 1) -> str:
        raise KeyError(model)

    def targets(self, address: str) -> list[dict[str, object]]:
        return [{"targets": [address], "labels": {"model": "digits"}}]


@pytest.fixture
def door() -> TestClient:
    return TestClient(app(Sources(), TOKEN, "127.0.0.1:8072"))


@pytest.mark.parametrize("path", ["/platform", "/gateway", "/plugins/lifecycle", "/servers/digits/1", "/targets"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer ü"}])
def test_a_stranger_gets_nothing(door: TestClient, path: str, headers: dict[str, str]):
    shown = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = door.get(path, headers=shown)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")


def test_whoever_has_the_token_is_told(door: TestClient):
    assert door.get("/platform", headers=HEADERS).text == "updraft_gateway_up 1\n"
    assert door.get("/plugins/lifecycle", headers=HEADERS).text == "a 1\n"
    assert door.get("/targets", headers=HEADERS).json()[0]["targets"] == ["127.0.0.1:8072"]


def test_a_silent_source_is_one_that_is_down_and_an_unknown_one_is_not_there(door: TestClient):
    assert door.get("/gateway", headers=HEADERS).status_code == 502
    for path in ("/plugins/other", "/servers/digits/9", "/servers/digits/..", "/servers/digits/x"):
        assert door.get(path, headers=HEADERS).status_code == 404


def text_of(**changed: object) -> list[str]:
    found = {"champions": {}, "components": {}, "disks": {}, "certificates": {}} | changed
    return [line for line in figures.Platform(**found).text().splitlines() if not line.startswith("#")]  # type: ignore[arg-type]


def test_what_is_not_known_is_no_zero():
    assert text_of(champions=None) == ["updraft_gateway_up 0"]
    assert text_of() == ["updraft_gateway_up 1"]


def test_each_figure_has_its_series():
    lines = text_of(
        champions={("digits", "3"): False},
        components={"scheduler": True},
        disks={"home": (5, 10)},
        certificates={"gateway": 17.0, "broken": None},
        budget_usd=2.5,
    )
    assert set(lines) == {
        "updraft_gateway_up 1",
        'updraft_champion_up{model="digits",revision="3"} 0',
        'updraft_airflow_component_up{component="scheduler"} 1',
        'updraft_disk_free_bytes{folder="home"} 5',
        'updraft_disk_size_bytes{folder="home"} 10',
        'updraft_certificate_ends_seconds{name="gateway"} 17',
        'updraft_certificate_readable{name="gateway"} 1',
        'updraft_certificate_readable{name="broken"} 0',
        "updraft_budget_usd_per_day 2.5",
    }


def test_the_champion_is_who_has_most_of_the_traffic():
    healthy = {"digits-3": 1, "digits-4": 0, "digits-3-over-4": 2}
    assert figures.champions({"digits": {"3": 75, "4": 25}}, healthy) == {("digits", "3"): True}
    assert figures.champions({"digits": {"3": 25, "4": 75}}, healthy) == {("digits", "4"): False}
    assert figures.champions({"digits": {"10": 50, "9": 50}}, {}) == {("digits", "9"): False}
    assert figures.champions({"digits": {}}, healthy) == {}


def test_a_certificates_end_is_read_and_what_is_none_is_said(tmp_path: Path):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "updraft")])
    begin, end = datetime.datetime(2026, 1, 1), datetime.datetime(2027, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(begin).not_valid_after(end).sign(key, hashes.SHA256())
    (tmp_path / "good.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert figures.certificate_end(tmp_path / "good.pem") == end.replace(tzinfo=datetime.UTC).timestamp()
    assert figures.certificate_end(tmp_path / "bad.pem") is None
    assert figures.certificate_end(tmp_path / "absent.pem") is None


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf"])
def test_a_budget_that_is_none_is_refused(text: str):
    with pytest.raises(InputError, match="UPDRAFT_BUDGET_USD_PER_DAY"):
        budget(text)


def test_a_budget_and_certificates_are_named(tmp_path: Path):
    assert budget("") is None and budget("2.5") == 2.5
    assert certificates("") == {} and certificates(f"door={tmp_path}/a.pem") == {"door": tmp_path / "a.pem"}
    with pytest.raises(InputError, match="UPDRAFT_CERTIFICATES"):
        certificates("a.pem")
