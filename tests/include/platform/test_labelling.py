"""Label Studio beside the platform: when it is there, and where its secrets stand."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from include.backup import contents
from include.errors import InputError
from include.platform import label_studio, labelling
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.delenv(label_studio.VARIABLE, raising=False)
    found = replace(Settings.load(), home=tmp_path / "home", runtimes=tmp_path / "runtimes")
    found.home.mkdir()
    return found


def install(settings: Settings) -> None:
    python = settings.python(labelling.RUNTIME)
    python.parent.mkdir(parents=True)
    python.touch()


def test_it_is_wanted_from_the_first_word_for_it_to_the_word_against_it(settings, monkeypatch):
    install(settings)
    assert labelling.choose(settings) is False
    for word, wanted in (("1", True), ("", True), ("0", False), ("", False)):
        monkeypatch.setenv(label_studio.VARIABLE, word)
        assert labelling.choose(settings) is labelling.chosen(settings) is wanted
        assert bool(labelling.connections(settings, Credentials())) is wanted


@pytest.mark.parametrize(("word", "said"), [("yes", "neither 0 nor 1"), ("1", "make install-labels")])
def test_what_can_not_be_is_refused_and_nothing_is_kept(settings, monkeypatch, word, said):
    monkeypatch.setenv(label_studio.VARIABLE, word)
    with pytest.raises(InputError, match=said):
        labelling.choose(settings)
    assert not list(settings.home.iterdir())


def test_no_secret_is_in_its_command(settings):
    credentials = Credentials()
    program = labelling.program(settings, credentials)
    secrets = (credentials.labels_password, credentials.labels_token, credentials.labels_secret_key)
    assert not any(secret in part for secret in secrets for part in program.command)
    assert set(secrets) <= set(program.environment.values())


def test_a_shell_reads_the_same_settings_in_a_container(settings, tmp_path):
    credentials = Credentials(labels_password="a'b \"$HOME")
    (tmp_path / "script").write_text(label_studio.as_script(settings, credentials))
    command = ["sh", "-c", f'. {tmp_path / "script"}; printf %s "$LABEL_STUDIO_PASSWORD"']
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == credentials.labels_password


def test_what_it_keeps_belongs_to_a_backup(settings, monkeypatch):
    install(settings)
    monkeypatch.setenv(label_studio.VARIABLE, "1")
    labelling.choose(settings)
    label_studio.prepare(settings)
    settings.labels.mkdir()
    assert contents.unknown(settings.home) == []
    assert f"{label_studio.NAME}/label_studio.sqlite3" in contents.SQLITE_FILES and "labels" in contents.TREES
