"""Files of data as people bring them."""

from __future__ import annotations

import random
from pathlib import Path

ROWS = 400


def customers(rows: int = ROWS) -> list[list[str]]:
    """A header and rows: an identifier, a text, a number that may be missing, an amount, a date, a note, and what is to be predicted."""
    dice = random.Random(0)
    table = [["Kunden-Nr", "Tarif", "Monate", "Umsatz", "Rabatt", "Seit", "Notiz", "gekündigt"]]
    for number in range(rows):
        months = dice.randint(1, 60)
        leaves = dice.random() < (0.9 if months < 20 else 0.05)
        table.append(
            [
                str(1000 + number),
                dice.choice(["Basis", "Profi", "Für alle"]),
                "-" if number % 20 == 0 else str(months),
                f"{dice.gauss(40, 9):.2f}",
                dice.choice(["0 %", "5 %", "10 %"]),
                f"{dice.randint(1, 28):02d}.03.2024",
                f"Anruf {number}, sagt {dice.random():.6f}",
                "ja" if leaves else "nein",
            ]
        )
    return table


def german(path: Path, table: list[list[str]]) -> Path:
    """Semicolons, decimal commas, CRLF, Windows' letters: what a spreadsheet writes in half of Europe."""
    lines = [";".join(cell.replace(".", ",") if cell.count(".") == 1 else cell for cell in row) for row in table]
    path.write_bytes("\r\n".join(lines).encode("latin-1") + b"\r\n")
    return path


def plain(path: Path, table: list[list[str]], **how: str) -> Path:
    """Commas and points, as UTF-8 unless ``encoding`` says another."""
    quoted = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in table]
    path.write_text("\n".join(quoted) + "\n", encoding=how.get("encoding", "utf-8"))
    return path
