import json
import stat

import pytest

from include import atomic
from include.errors import InputError
from include.runtime.credentials import Credentials


def test_they_are_made_once_and_kept(tmp_path):
    first = Credentials.load_or_create(tmp_path)
    assert Credentials.load_or_create(tmp_path) == first
    assert Credentials.load(tmp_path) == first


def test_only_their_owner_can_read_them(tmp_path):
    Credentials.load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]


def test_no_two_platforms_and_no_two_secrets_are_alike(tmp_path):
    def values(folder):
        data = json.loads(json.dumps(Credentials.load_or_create(folder).__dict__))
        return [secret for value in data.values() for secret in (value.values() if isinstance(value, dict) else [value])]

    found = values(tmp_path / "a") + values(tmp_path / "b")
    assert len(set(found)) == len(found) >= 18
    assert min(map(len, found)) >= 24


def test_secrets_that_an_older_platform_lacks_are_made_once(tmp_path):
    path = tmp_path / "credentials.json"
    old = {
        name: value for name, value in vars(Credentials.load_or_create(tmp_path)).items() if "database" not in name and "redis" not in name
    }
    path.write_text(json.dumps(old))
    first = Credentials.load_or_create(tmp_path)
    assert Credentials.load(tmp_path) == Credentials.load_or_create(tmp_path) == first
    assert first.airflow_fernet_key == old["airflow_fernet_key"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"unknown": 1}', "null"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, text):
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        Credentials.load_or_create(tmp_path)
    assert refused.value.where == str(path) and refused.value.remedy
    assert path.read_text() == text


def test_before_the_first_start_the_remedy_is_named(tmp_path):
    with pytest.raises(InputError, match="make up"):
        Credentials.load(tmp_path)


def test_a_private_file_is_replaced_whole(tmp_path):
    path = tmp_path / "sub" / "file"
    atomic.write(path, "old")
    path.chmod(0o644)
    atomic.write(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
