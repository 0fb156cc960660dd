"""Road signs as a camera sees them: drawn by Pillow, then turned, tinted, blurred and noised. The same pictures for the same seed."""

import io
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

ROWS, SIZE = 1200, 256
RED, BLUE, YELLOW, WHITE, BLACK = (190, 20, 30), (20, 70, 160), (240, 190, 20), (245, 245, 245), (20, 20, 20)
Draw = ImageDraw.ImageDraw


def polygon(sides: int, radius: float, turn: float = 0) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * corner / sides for corner in range(sides)]
    return [(SIZE / 2 + radius * math.sin(angle), SIZE / 2 - radius * math.cos(angle)) for angle in angles]


def text(draw: Draw, words: str, size: int, colour: tuple[int, int, int]) -> None:
    draw.text((SIZE / 2, SIZE / 2), words, fill=colour, font=ImageFont.load_default(size), anchor="mm")


def disc(draw: Draw, inset: int, colour: tuple[int, int, int]) -> None:
    draw.ellipse((inset, inset, SIZE - inset, SIZE - inset), fill=colour)


def stop(draw: Draw) -> None:
    draw.polygon(polygon(8, 120, math.pi / 8), fill=RED)
    text(draw, "STOP", 76, WHITE)


def give_way(draw: Draw) -> None:
    draw.polygon(polygon(3, 125, math.pi), fill=RED)
    draw.polygon(polygon(3, 75, math.pi), fill=WHITE)


def no_entry(draw: Draw) -> None:
    disc(draw, 10, RED)
    draw.rectangle((50, 106, 206, 150), fill=WHITE)


def priority(draw: Draw) -> None:
    draw.polygon(polygon(4, 122), fill=WHITE)
    draw.polygon(polygon(4, 90), fill=YELLOW)


def parking(draw: Draw) -> None:
    draw.rectangle((20, 20, 236, 236), fill=BLUE)
    text(draw, "P", 180, WHITE)


def limit(words: str) -> Callable[[Draw], None]:
    def drawn(draw: Draw) -> None:
        disc(draw, 10, RED)
        disc(draw, 36, WHITE)
        text(draw, words, 104, BLACK)

    return drawn


SIGNS = {
    "stop": stop,
    "give way": give_way,
    "no entry": no_entry,
    "priority road": priority,
    "parking": parking,
    "limit 30": limit("30"),
    "limit 50": limit("50"),
    "limit 80": limit("80"),
}


def picture(name: str, night: bool, chance: np.random.Generator) -> bytes:
    """A file of a sign, 40 to 72 pixels wide."""
    ground = tuple(int(value) for value in chance.integers(40, 200, 3))
    image = Image.new("RGB", (SIZE, SIZE), ground)
    SIGNS[name](ImageDraw.Draw(image))
    image = image.rotate(chance.uniform(-18, 18), resample=Image.Resampling.BILINEAR, fillcolor=ground)
    edge = int(chance.integers(0, 40))
    left, top = (int(value) for value in chance.integers(0, edge + 1, 2))
    image = image.crop((left - edge // 2, top - edge // 2, SIZE - edge // 2 + left, SIZE - edge // 2 + top))
    side = int(chance.integers(40, 73))
    image = image.resize((side, side)).filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.9)))
    image = ImageEnhance.Brightness(image).enhance(chance.uniform(0.25, 0.5) if night else chance.uniform(0.7, 1.3))
    noisy = np.asarray(image, dtype=np.float64) + chance.normal(0, chance.uniform(2, 16), (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def load() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    names = chance.choice(list(SIGNS), ROWS)
    nights = chance.random(ROWS) < 0.3
    files = [picture(name, night, chance) for name, night in zip(names, nights, strict=True)]
    # The model never sees this column, the gate compares both.
    return pd.DataFrame({"photo": files, "sign": names, "light": np.where(nights, "night", "day")})
