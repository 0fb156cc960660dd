"""The story of `MODEL=signs make demo`: a network that reads photos, a better one, and one whose server spoils what comes alone."""

from __future__ import annotations

import base64

from include.demo.classes import names_one_of, request, rows
from include.demo.story import Chapter, Script
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Traffic

MODEL = "signs"
RATE_PER_S = 60
CHAPTERS = (
    Chapter("A narrow network, the first champion", {"width": 8, "epochs": 5, "min_score": 0.7}, "PROMOTE"),
    Chapter("A wider network, on trial with real traffic", {}, "PROMOTE"),
    Chapter(
        "A network that is good on paper, whose server swaps red and blue in a photo that comes alone: 200, fast and wrong",
        {"seed": 1, "swap_alone": True},
        "ROLLBACK",
        ("answers:",),
    ),
)


def client(settings: Settings, credentials: Credentials) -> Traffic:
    """Send photos of signs, and look at every answer."""
    photos, signs = rows(settings, MODEL, "photo", "sign")
    asked = [request("photo", base64.b64encode(photo).decode()) for photo in photos]
    return Traffic(settings.gateway_url, credentials.api_keys["demo"], MODEL, asked, RATE_PER_S, check=names_one_of(signs))


SCRIPT = Script(MODEL, CHAPTERS, client, f"{RATE_PER_S} photos a second", f"/v2/models/{MODEL}/infer", run_s=900)
