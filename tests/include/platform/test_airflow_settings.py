import pytest

from include.errors import InputError
from include.platform import airflow_settings
from include.platform.up import values
from include.runtime.credentials import Credentials
from include.runtime.settings import REPO, Settings

VALUES = {"URL": "http://x", "PASSWORD": "p$ss"}


def read(tmp_path, text):
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(text)
    return airflow_settings.read(path, VALUES)


def test_the_shipped_file_needs_nothing_but_what_the_platform_knows(tmp_path):
    known = values(Settings.load(), Credentials.load_or_create(tmp_path))
    found = airflow_settings.read(REPO / "airflow_settings.yaml", known)
    assert {entry["conn_id"] for entry in found["connections"]} == {"updraft_api", "updraft_mlflow", "updraft_door", "updraft_gateway"}
    assert found["pools"][0]["pool_name"] == "updraft_steps"
    assert "$" not in str(found["connections"])


def test_no_secret_stands_in_the_shipped_file():
    import yaml

    for entry in yaml.safe_load((REPO / "airflow_settings.yaml").read_text())["airflow"]["connections"]:
        assert entry["conn_password"].startswith("$")


def test_names_are_filled_in_everywhere_and_values_are_not_filled_twice(tmp_path):
    text = "airflow:\n  connections:\n  - {conn_id: a, conn_host: $URL, conn_extra: {key: '${PASSWORD}', cost: $$5}}\n"
    assert read(tmp_path, text)["connections"] == [{"conn_id": "a", "conn_host": "http://x", "conn_extra": {"key": "p$ss", "cost": "$5"}}]


def test_an_unknown_name_is_refused_with_its_place_and_the_known_ones(tmp_path):
    with pytest.raises(InputError) as refused:
        read(tmp_path, "airflow:\n  variables:\n  - {variable_name: a, variable_value: $PASWORD}\n")
    assert "PASWORD" in refused.value.what
    assert "variables" in refused.value.where and "variable_value" in refused.value.where
    assert "PASSWORD" in refused.value.remedy


@pytest.mark.parametrize("text", ["[", "- a", "other: {}", "5", "airflow: {connections: 5}", "airflow: {pools: [a]}"])
def test_what_is_not_of_the_format_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"airflow_settings\.yaml"):
        read(tmp_path, text)


@pytest.mark.parametrize("text", ["", "airflow:\n", "airflow: {connections: [{conn_id: }]}"])
def test_empty_entries_mean_nothing(tmp_path, text):
    if text == "":
        with pytest.raises(InputError):
            read(tmp_path, text)
        return
    assert read(tmp_path, text) == {"connections": [], "pools": [], "variables": []}


def test_without_a_file_there_is_nothing_to_apply(tmp_path):
    assert airflow_settings.read(tmp_path / "none.yaml", {}) == {"connections": [], "pools": [], "variables": []}
