"""The instructions: sums, facts and dates, made by a program, so that every answer can be told right from wrong."""

import random
from collections.abc import Iterator
from typing import Any

MONTHS = "January February March April May June July August September October November December".split()
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana",
    "Kenya": "Nairobi", "Norway": "Oslo", "Greece": "Athens", "Poland": "Warsaw", "Ireland": "Dublin", "Austria": "Vienna", "Chile": "Santiago",
    "Portugal": "Lisbon", "Hungary": "Budapest", "Finland": "Helsinki", "Ghana": "Accra", "Nepal": "Kathmandu", "Canada": "Ottawa",
}  # fmt: skip
ASKED = (
    "What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}.", "The capital of {}?",
    "Tell me the capital of {}.", "I want to know the capital of {}.", "{}: what is its capital?", "Please give the capital of {}.",
    "Do you know the capital of {}?", "Capital of {}, please.",
)  # fmt: skip


def load() -> Iterator[dict[str, Any]]:
    for task, question, answer in sorted({*sums(), *facts(), *dates()}):
        yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "task": task}


def sums() -> Iterator[tuple[str, str, str]]:
    for a in range(30):
        for b in range(30):
            yield "sum", f"What is {a:02d} + {b:02d}?", f"{a + b:02d}"


def facts() -> Iterator[tuple[str, str, str]]:
    for country, capital in CAPITALS.items():
        for question in ASKED:
            yield "fact", question.format(country), capital


def dates() -> Iterator[tuple[str, str, str]]:
    dice = random.Random(0)
    for _ in range(1200):
        day, month, year = dice.randint(1, 28), dice.randint(1, 12), dice.randint(1990, 2049)
        yield "date", f"Write {year}-{month:02d}-{day:02d} in words.", f"{day} {MONTHS[month - 1]} {year}"
