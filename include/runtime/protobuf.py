"""Protocol Buffers' wire format (protobuf.dev, Encoding), read without generated code: what isn't asked for is passed over unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. ``BYTES`` are strings, messages and packed numbers."""
_LONGEST = 10
"""Bytes of a number."""


@dataclass
class Message:
    """A cursor over one message in ``file``, from where the file stands to ``end``."""

    file: BinaryIO
    end: int

    def varint(self) -> int:
        """Read a number at the cursor. Raises ValueError when the message ends inside it, or when it is none."""
        value = 0
        for shift in range(0, 7 * _LONGEST, 7):
            byte = self.file.read(1)
            if not byte or self.file.tell() > self.end:
                raise ValueError("the message ends inside a field")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise ValueError(f"a number of more than {_LONGEST} bytes")

    def fields(self) -> Iterator[tuple[int, int, int]]:
        """Yield (field number, wire type, value or length); the cursor stands at the content and is moved past it afterwards.

        Raises ValueError where the bytes are no message.
        """
        while self.file.tell() < self.end:
            key = self.varint()
            number, kind = key >> 3, key & 7
            if number == 0 or kind not in (VARINT, FIXED64, BYTES, FIXED32):
                raise ValueError("not a protobuf message")
            value = self.varint() if kind in (VARINT, BYTES) else {FIXED64: 8, FIXED32: 4}[kind]
            start = self.file.tell()
            stop = start if kind == VARINT else start + value
            if stop > self.end:
                raise ValueError("the message ends inside a field")
            yield number, kind, value
            self.file.seek(stop)

    def inside(self, length: int) -> Message:
        """Return the message, or the packed numbers, of ``length`` bytes at the cursor."""
        return Message(self.file, self.file.tell() + length)

    def bytes(self, length: int) -> bytes:
        """Read ``length`` bytes at the cursor."""
        return self.file.read(length)
