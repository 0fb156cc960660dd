"""Pictures as callers send them, opened for the code around a model: upright, in the colours that the model was trained on.

Standard library and Pillow only, and no other module of Updraft: it is copied beside Triton's ``model.py`` and runs in runtime `triton`.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
"""What is opened: of the rest, few people send any, and their decoders are where the holes are found."""
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""


class PictureRefused(ValueError):
    """The picture is none that the model takes; the sentence goes behind the name of its input."""


@dataclass(frozen=True)
class Picture:
    """What a column of pictures holds: ``mode`` as Pillow names it (`RGB`, or `L` for grey). What is larger than ``max_megapixels`` is
    refused before it is decoded."""

    mode: str = "RGB"
    max_megapixels: float = 25.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Picture:
        return cls(data["mode"], data["max_megapixels"])

    def open(self, sent: bytes | str, room: float = math.inf) -> Image:
        """Return the picture, turned as EXIF says, transparency on white. Raises PictureRefused.

        ``sent``: a file's bytes, or their Base64, as JSON has them; ``room``: so many pixels it may have beside those of its request that
        are open already.
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        data = content(sent)
        Image.MAX_IMAGE_PIXELS = None  # bounded here, by this model's own limit
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            if (pixels := image.width * image.height) > self.max_megapixels * 1e6:
                raise PictureRefused(
                    f"has {image.width} x {image.height} pixels ({pixels / 1e6:.3g} megapixels), and {self.max_megapixels:g} are allowed."
                )
            if pixels > room:
                raise PictureRefused("is one too many: a request's pictures have more pixels together than are held at once. Send fewer.")
            image.load()
            # Most pictures have no EXIF, and the look for it costs more than the rest.
            image = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
        except UnidentifiedImageError:
            raise PictureRefused(f"is no picture in a form that is taken ({', '.join(FORMATS)}).") from None
        except PictureRefused:
            raise
        except Exception as error:  # decoders raise what they like: OSError, SyntaxError, struct.error, ...
            raise PictureRefused(f"is a picture that can't be decoded: {str(error)[:120]}.") from None
        return self._coloured(image)

    def _coloured(self, image: Image) -> Image:
        from PIL import Image

        if image.mode.startswith(("I", "F")):
            raise PictureRefused(f"has more than 8 bits a channel (mode {image.mode}): send one of 8 bits.")
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            over = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        return image if image.mode == self.mode else image.convert(self.mode)


def content(sent: bytes | str) -> bytes:
    """Return the bytes of the file that was ``sent`` as it is, or as Base64. Raises PictureRefused when there are none."""
    data = sent.encode(errors="replace") if isinstance(sent, str) else bytes(sent)
    if not data:
        raise PictureRefused("is empty: 0 bytes.")
    try:
        found = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found and isinstance(sent, str):
        raise PictureRefused("is no Base64, which a picture is sent as in JSON.")
    return found or data  # no form of pictures is made of Base64's letters alone


def opened(pictures: Mapping[str, Picture], arrays: Mapping[str, Any], largest: float = math.inf) -> dict[str, Any]:
    """Return input tensors with those of pictures as lists of Pillow's images. Raises PictureRefused naming the input, and of several rows
    the row.

    All of them together have at most as many pixels as ``largest`` pictures of the greatest size that is allowed: a few kilobytes can be a
    picture of 75 MB, and a request may bring many.
    """
    found, room = dict(arrays), largest * max((picture.max_megapixels * 1e6 for picture in pictures.values()), default=0.0)
    for name, picture in pictures.items():
        if name not in arrays:
            continue
        sent, images = arrays[name].ravel(), []
        for row, one in enumerate(sent):
            try:
                images.append(picture.open(one, room))
                room -= images[-1].width * images[-1].height
            except PictureRefused as error:
                place = f", row {row}" if len(sent) > 1 else ""
                raise PictureRefused(f"input {name!r}{place}: {error}") from None
        found[name] = images
    return found
