"""The story of `MODEL=intents make demo`: an encoder of texts hardly trained, one that is, and one whose server cuts what comes alone."""

from __future__ import annotations

from include.demo.classes import names_one_of, request, rows
from include.demo.story import Chapter, Script
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Traffic

MODEL = "intents"
RATE_PER_S = 12
CHAPTERS = (
    Chapter("MiniLM with one layer trained for a moment, the first champion", {"layers": 1, "epochs": 2, "min_score": 0.5}, "PROMOTE"),
    Chapter("The same with its whole training, on trial with real questions", {}, "PROMOTE"),
    Chapter(
        "As good on paper, but its server reads four pieces of a question that comes alone: 200, fast and wrong",
        {"cut_alone": 4},
        "ROLLBACK",
        ("answers:",),
    ),
)


def client(settings: Settings, credentials: Credentials) -> Traffic:
    """Send what people want of a bank, and look at every answer."""
    texts, intents = rows(settings, MODEL, "text", "intent")
    asked = [request("text", text) for text in texts]
    return Traffic(settings.gateway_url, credentials.api_keys["demo"], MODEL, asked, RATE_PER_S, check=names_one_of(intents))


SCRIPT = Script(MODEL, CHAPTERS, client, f"{RATE_PER_S} questions a second", f"/v2/models/{MODEL}/infer", run_s=1500)
