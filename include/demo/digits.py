"""The story of `make demo`: a first version, a better one, and two bad ones that only production finds out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.demo.story import Chapter, Script
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Traffic

MODEL = "digits"
RATE_PER_S = 70
CHAPTERS = (
    Chapter("A small network, the first champion", {"hidden_units": 16, "epochs": 15}, "PROMOTE"),
    Chapter("A larger network, on trial with real traffic", {}, "PROMOTE"),
    Chapter(
        "A network that is good on paper, whose server scales the pixels of an image that comes alone: 200, fast and wrong",
        {"seed": 1, "scale_alone": 0.0625},
        "ROLLBACK",
        ("answers:",),
    ),
    Chapter(
        "A network that is good on paper, but in production fails one request in five and answers late",
        {"seed": 1, "error_rate": 0.2, "delay_ms": 40.0},
        "ROLLBACK",
    ),
)


def client(settings: Settings, credentials: Credentials) -> Traffic:
    """Sends real digits, and looks at every answer."""
    return Traffic(settings.gateway_url, credentials.api_keys["demo"], MODEL, images(), RATE_PER_S, check=reads_a_digit)


SCRIPT = Script(MODEL, CHAPTERS, client, f"{RATE_PER_S} images a second", f"/v2/models/{MODEL}/infer")


def images() -> list[list[dict[str, Any]]]:
    """The bundled digits, each as the inputs of one KServe v2 request."""
    from sklearn.datasets import load_digits

    rows = load_digits().data.tolist()
    return [[{"name": "input", "datatype": "FP32", "shape": [1, len(row)], "data": row}] for row in rows]


def reads_a_digit(answer: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer: it must hold one digit, and probabilities that add up to 1."""
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    if len(outputs.get("label", ())) != 1 or outputs["label"][0] not in range(10):
        return f"no digit in {outputs.get('label')!r}"
    total = sum(outputs.get("probabilities", ()))
    return None if abs(total - 1) < 0.01 else f"probabilities add up to {total}"
