"""The scripts of Envoy's Lua filters: files in the folder ``lua``, with ``@WORDS@`` that this side knows."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("lua")


def script(name: str, **words: object) -> str:
    """Return the script ``lua/<name>.lua``, each of ``words`` in the place of ``@WORD@``."""
    text = (FOLDER / f"{name}.lua").read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    return text
