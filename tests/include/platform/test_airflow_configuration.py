"""airflow.cfg as it is written, read by Airflow itself."""

import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import InputError
from include.platform import airflow
from include.platform.scale import Scale, broker, chosen
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from tests.ports import common_base


@pytest.fixture(scope="module", params=list(Scale))
def home(tmp_path_factory, request):
    settings = replace(Settings.load(), home=tmp_path_factory.mktemp("100% odd") / "h", port_base=common_base())
    settings.home.mkdir()
    (settings.home / "scale").write_text(request.param)
    airflow.write(settings, Credentials.load_or_create(settings.home))
    return settings


@pytest.fixture(scope="module")
def read(home) -> dict[str, dict[str, str]]:
    """Section → option → the value that Airflow reads, of all that are written."""
    ours = {section: list(options) for section, options in airflow.options(home, Credentials.load(home.home)).items()}
    code = "import json, sys; from airflow.configuration import conf; ours = json.loads(sys.argv[1])\n"
    code += "print(json.dumps({section: {name: conf.get(section, name) for name in ours[section]} for section in ours}))"
    command = [str(home.python("airflow")), "-c", code, json.dumps(ours)]
    done = subprocess.run(command, env=os.environ | airflow.environment(home), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_scaled_one_s_tasks_go_to_celery_s_workers(home, read):
    if chosen(home) is Scale.EMBEDDED:
        assert read["core"]["executor"] == "LocalExecutor"
        return
    assert read["core"]["executor"] == "CeleryExecutor"
    assert read["celery"]["broker_url"] == broker(home, Credentials.load(home.home))


def test_airflow_reads_the_values_that_were_meant(home, read):
    ours = airflow.options(home, Credentials.load(home.home))
    assert {"sql_alchemy_conn", "dags_folder", "base_url", "fernet_key"} <= {name for options in ours.values() for name in options}
    assert read == {section: {name: str(value) for name, value in options.items()} for section, options in ours.items()}


def test_it_is_its_owners_alone(home):
    for name in ("airflow.cfg", "passwords.json"):
        assert stat.S_IMODE((home.home / "airflow" / name).stat().st_mode) == 0o600


def test_the_environment_holds_no_secret(home):
    credentials = Credentials.load(home.home)
    text = str(airflow.environment(home))
    secrets = [
        *credentials.airflow_passwords.values(),
        *credentials.api_keys.values(),
        credentials.mlflow_password,
        credentials.probe_secret,
        *credentials.database_passwords.values(),
        credentials.redis_password,
    ]
    assert not [secret for secret in secrets if secret in text]


def test_every_option_is_one_that_airflow_knows(home):
    """A misspelt option would be ignored without a word."""
    known = subprocess.run(
        [str(home.python("airflow").parent / "airflow"), "config", "list", "--defaults"],
        env=os.environ | airflow.environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    ours = airflow.options(home, Credentials.load(home.home))
    # Those of the auth manager and of other optional parts are not in the list.
    missing = [name for options in ours.values() for name in options if f"{name} =" not in known]
    assert [name for name in missing if not name.startswith(("simple_auth_manager_", "visibility_timeout"))] == []


@pytest.mark.parametrize(("models", "own", "seconds"), [(0, "", 300), (0, "/dags", 60), (1000, "/dags", 200)])
def test_the_more_models_the_more_rarely_all_are_read(tmp_path, monkeypatch, models, own, seconds):
    monkeypatch.setenv("UPDRAFT_DAGS", own)
    for number in range(models):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model.yaml").touch()
    monkeypatch.setenv("UPDRAFT_MODELS", str(tmp_path))
    assert airflow.parse_interval_s(Settings.load()) == seconds


def test_tasks_are_told_of_a_bucket_by_files_and_of_no_key(home, monkeypatch):
    monkeypatch.setenv("UPDRAFT_DVC_REMOTE", "s3://dvc")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/etc/aws")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = airflow.environment(home)
    assert (found["UPDRAFT_DVC_REMOTE"], found["AWS_CONFIG_FILE"]) == ("s3://dvc", "/etc/aws")
    assert "AWS_SECRET_ACCESS_KEY" not in found


def test_a_container_s_doors_listen_where_they_are_published(home, monkeypatch):
    assert airflow.options(home, Credentials.load(home.home))["api"]["host"] == "127.0.0.1"
    monkeypatch.setenv("UPDRAFT_BIND", "0.0.0.0")
    told = airflow.options(home, Credentials.load(home.home))["api"]
    assert told["host"] == "0.0.0.0" and told["base_url"].startswith("http://127.0.0.1:")


def test_people_are_added_by_name_and_role_and_keep_their_passwords(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPDRAFT_USERS", "ann:op, bob:viewer")
    settings, credentials = replace(Settings.load(), home=tmp_path), Credentials()
    (tmp_path / "airflow").mkdir()
    airflow.write(settings, credentials)
    first = json.loads((tmp_path / "airflow" / "passwords.json").read_text())
    assert {"ann", "bob"} <= set(first) and credentials.airflow_passwords.items() <= first.items()
    assert "ann:op,bob:viewer" in (tmp_path / "airflow" / "airflow.cfg").read_text()
    airflow.write(settings, credentials)
    assert json.loads((tmp_path / "airflow" / "passwords.json").read_text()) == first


@pytest.mark.parametrize("text", ["ann", "ann:root", "admin:viewer", "a b:op", ":op"])
def test_users_that_cannot_be_are_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="UPDRAFT_USERS"):
        airflow.roles(text)
