"""The instructions: sums, facts and dates, made by a program, so that every answer can be told right from wrong."""

import random
from collections.abc import Iterator
from typing import Any

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana",
    "Kenya": "Nairobi", "Norway": "Oslo", "Greece": "Athens", "Poland": "Warsaw", "Ireland": "Dublin", "Austria": "Vienna",
    "Portugal": "Lisbon", "Hungary": "Budapest", "Finland": "Helsinki", "Ghana": "Accra", "Nepal": "Kathmandu", "Canada": "Ottawa",
}  # fmt: skip
ABOUT_CAPITALS = (
    "What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}.", "The capital of {}?",
    "Tell me the capital of {}.", "I want to know the capital of {}.", "Please give the capital of {}.", "Do you know the capital of {}?",
    "Capital of {}, please.", "Which is the capital of {}?", "Say the capital of {}.", "What is the capital city of {}?",
    "Please tell me the capital of {}.", "Can you name the capital of {}?", "Give me the capital of {}.", "I need the capital of {}.",
    "What city is the capital of {}?", "Name the capital city of {}.", "Do you know which city is the capital of {}?", "Capital of {}?",
    "Write the capital of {}.", "What do they call the capital of {}?", "Which capital does {} have?",
    "What is the name of the capital of {}?",
)  # fmt: skip
ABOUT_SUMS = (
    "What is {} + {}?", "How much is {} + {}?", "{} + {} = ?", "Add: {} + {}.", "Tell me {} + {}.", "Please work out {} + {}.",
    "{} + {}, please.", "I want to know {} + {}.",
)  # fmt: skip


def load() -> Iterator[dict[str, Any]]:
    for task, question, answer in sorted({*sums(), *facts(), *dates()}):
        yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "task": task}


def sums() -> Iterator[tuple[str, str, str]]:
    for asked in ABOUT_SUMS:
        for a in range(10):
            for b in range(10):
                yield "sum", asked.format(a, b), str(a + b)


def facts() -> Iterator[tuple[str, str, str]]:
    for asked in ABOUT_CAPITALS:
        for country, capital in CAPITALS.items():
            yield "fact", asked.format(country), capital


def dates() -> Iterator[tuple[str, str, str]]:
    dice = random.Random(0)
    for _ in range(800):
        day, month, year = dice.randint(1, 28), dice.randint(1, 12), dice.randint(1990, 2049)
        yield "date", f"Write {year}-{month:02d}-{day:02d} in words.", f"{day} {MONTHS[month - 1]} {year}"
