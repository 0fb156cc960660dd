"""Pictures as callers send them: opened upright and in the model's colours, or refused with a sentence."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from include.bundles.pictures import Picture, PictureRefused, opened

RGB = Picture("RGB", 25)


def file(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def solid(mode: str, colour: Any, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new(mode, size, colour)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, and that has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (file(solid("RGB", (10, 20, 30))), (10, 20, 30)),
        (file(solid("L", 77)), (77, 77, 77)),
        (file(solid("LA", (0, 0))), (255, 255, 255)),
        (file(solid("RGBA", (10, 20, 30, 0))), (255, 255, 255)),
        (file(solid("P", 0), transparency=0), (255, 255, 255)),
        (file(solid("1", 1)), (255, 255, 255)),
        (file(solid("CMYK", (0, 255, 255, 0)), "JPEG", quality=100), (255, 0, 0)),
        (file(solid("RGB", (10, 20, 30)), "BMP"), (10, 20, 30)),
    ],
    ids=["rgb", "grey", "grey-transparent", "transparent", "palette", "bits", "cmyk", "bmp"],
)
def test_every_kind_of_file_becomes_the_model_s_colours(sent: bytes, seen: tuple[int, ...]) -> None:
    image = RGB.open(sent)
    assert image.mode == "RGB" and image.size == (6, 4)
    assert np.asarray(image)[0, 0].tolist() == pytest.approx(seen, abs=2)


def test_base64_is_what_json_has() -> None:
    sent = file(solid("RGB", (1, 2, 3)))
    assert RGB.open(base64.b64encode(sent).decode()).tobytes() == RGB.open(sent).tobytes() == RGB.open(base64.b64encode(sent)).tobytes()


def test_a_photo_stands_as_the_camera_was_held() -> None:
    image = solid("RGB", (0, 0, 0), (6, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = RGB.open(file(image, exif=exif))
    assert turned.size == (4, 6) and turned.getpixel((3, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", "0 bytes"),
        ("", "0 bytes"),
        (b"%PDF-1.7 no picture", "is no picture in a form that is taken"),
        ("not base64!", "is no Base64"),
        (file(Image.effect_noise((64, 64), 50))[:2000], "can't be decoded"),
        (bomb(60_000, 60_000), "60000 x 60000 pixels"),
        (bomb(10_000, 5_000), "(50 megapixels), and 25 are allowed"),
        (file(solid("I;16", 1000)), "more than 8 bits"),
        (file(solid("RGB", 0), "TIFF"), "is no picture in a form that is taken"),
    ],
    ids=["nothing", "no-text", "pdf", "text", "cut", "bomb", "50-megapixels", "16-bit", "tiff"],
)
def test_what_is_no_picture_is_refused(sent: bytes | str, says: str) -> None:
    with pytest.raises(PictureRefused) as refused:
        opened({"photo": RGB}, {"photo": np.array([[file(solid("RGB", 0))], [sent]], dtype=object)})
    assert says in str(refused.value) and str(refused.value).startswith("input 'photo', row 1: ")


def test_pictures_of_a_request_are_bounded_together() -> None:
    """Each is allowed alone, and takes a few hundred bytes to send."""
    small, pictures = file(solid("RGB", (10, 20, 30), (100, 100))), {"photo": Picture("RGB", 0.01), "other": Picture("RGB", 0.01)}
    sent = {"photo": np.array([small] * 3, dtype=object)[:, None], "other": np.array([small], dtype=object)[:, None]}
    assert [len(images) for images in opened(pictures, sent, 4).values()] == [3, 1]
    with pytest.raises(PictureRefused, match=r"input 'other', row 1: is one too many.*Send fewer"):
        opened(pictures, sent | {"other": np.array([small] * 2, dtype=object)[:, None]}, 4)
