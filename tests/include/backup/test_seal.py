from __future__ import annotations

from pathlib import Path

import pytest

from include.backup.seal import passphrase, seal, unseal
from include.errors import InputError

SECRETS = {"credentials.json": b"{}", "revision-key": bytes(range(256))}


def test_secrets_come_back_with_their_passphrase_and_show_in_nothing() -> None:
    sealed = seal(SECRETS, "a long passphrase", b"manifest")
    assert unseal(sealed, "a long passphrase", b"manifest", "here") == SECRETS
    assert "credentials" not in sealed


@pytest.mark.parametrize(("words", "vouched"), [("another passphrase", b"manifest"), ("a long passphrase", b"manifest, changed")])
def test_another_passphrase_and_a_changed_manifest_are_refused(words: str, vouched: bytes) -> None:
    sealed = seal(SECRETS, "a long passphrase", b"manifest")
    with pytest.raises(InputError, match="passphrase is another one, or its manifest was changed"):
        unseal(sealed, words, vouched, "here")


@pytest.mark.parametrize("sealed", ["", "no base64!", "AAAA"])
def test_what_was_never_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(InputError, match="passphrase"):
        unseal(sealed, "a long passphrase", b"", "here")


def test_a_passphrase_is_found_in_the_environment_then_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPDRAFT_BACKUP_PASSPHRASE", raising=False)
    with pytest.raises(InputError, match="no passphrase"):
        passphrase(tmp_path, ask=False)
    (tmp_path / "passphrase").write_text("that of the file\n")
    assert passphrase(tmp_path, ask=False) == "that of the file"
    monkeypatch.setenv("UPDRAFT_BACKUP_PASSPHRASE", "that of the environment")
    assert passphrase(tmp_path, ask=False) == "that of the environment"
    monkeypatch.setenv("UPDRAFT_BACKUP_PASSPHRASE", "short")
    with pytest.raises(InputError, match="fewer than 12"):
        passphrase(tmp_path, ask=False)
