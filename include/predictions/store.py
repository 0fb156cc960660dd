"""Where the log's Parquet files lie: a folder, or a bucket of S3: ``model=wine/version=3/hour=2026-11-30T20/<segment>.parquet``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from include import atomic
from include.errors import ComponentError

SUFFIX = ".parquet"
HOUR = "%Y-%m-%dT%H"


@dataclass(frozen=True, order=True)
class Segment:
    """One file: rows of one model, version and hour (UTC, its beginning). ``bytes``: its size."""

    hour: datetime
    model: str
    version: int
    stem: str
    bytes: int = 0

    @property
    def name(self) -> str:
        return f"model={self.model}/version={self.version}/hour={self.hour.strftime(HOUR)}/{self.stem}{SUFFIX}"

    @classmethod
    def parse(cls, name: str, size: int) -> Segment | None:
        """Return the segment of this name; None for what is none: an unfinished or a foreign file."""
        parts = name.removesuffix(SUFFIX).split("/")
        keys = [part.partition("=")[0] for part in parts[:-1]]
        if keys != ["model", "version", "hour"] or not name.endswith(SUFFIX) or parts[-1].startswith("."):
            return None
        model, version, hour = (part.partition("=")[2] for part in parts[:-1])
        try:
            return cls(datetime.strptime(hour, HOUR).replace(tzinfo=UTC), model, int(version), parts[-1], size)
        except ValueError:
            return None


class Store(Protocol):
    """Files by name."""

    def segments(self, model: str | None = None) -> list[Segment]:
        """Return every file of a model (None: of all), the oldest first."""

    def get(self, segment: Segment) -> bytes | None:
        """Return a file's bytes; None when it is gone."""

    def open(self, segment: Segment) -> BinaryIO | None:
        """Open a file, to read parts of it; None when it is gone."""

    def put(self, segment: Segment, data: bytes) -> None:
        """Keep a file, whole or not at all. Raises OSError or ComponentError when it can't be kept."""

    def remove(self, segment: Segment) -> None:
        """Drop a file; one that is gone is fine."""


def store(url: str) -> Store:
    """Return the store at a folder's path or at ``s3://bucket/prefix``."""
    return Bucket(url) if url.startswith("s3://") else Folder(Path(url))


class Folder:
    """A folder, its owner's alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def segments(self, model: str | None = None) -> list[Segment]:
        found = []
        for path in self._root.glob(f"model={model or '*'}/version=*/hour=*/*{SUFFIX}"):
            try:
                segment = Segment.parse(path.relative_to(self._root).as_posix(), path.stat().st_size)
            except FileNotFoundError:
                continue  # dropped meanwhile
            found += [segment] if segment else []
        return sorted(found)

    def get(self, segment: Segment) -> bytes | None:
        try:
            return (self._root / segment.name).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, segment: Segment) -> BinaryIO | None:
        try:
            return (self._root / segment.name).open("rb")
        except FileNotFoundError:
            return None

    def put(self, segment: Segment, data: bytes) -> None:
        path = self._root / segment.name
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (path.parents[2], path.parents[1], path.parent):
            folder.mkdir(exist_ok=True, mode=0o700)
        atomic.write(path, data)

    def remove(self, segment: Segment) -> None:
        path = self._root / segment.name
        path.unlink(missing_ok=True)
        for folder in path.parents[:3]:
            try:
                folder.rmdir()
            except OSError:
                return  # others are left in it


class Bucket:
    """A bucket of S3, reached as MLflow's artifacts are: by Amazon's own settings."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @cached_property
    def _client(self) -> Any:
        import boto3

        return boto3.client("s3")

    def segments(self, model: str | None = None) -> list[Segment]:
        return sorted(self._listed(f"{self._prefix}model={model}/" if model else self._prefix))

    def _listed(self, prefix: str) -> Iterator[Segment]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in self._asked(lambda: list(pages)):
            for entry in page.get("Contents", ()):
                if segment := Segment.parse(entry["Key"].removeprefix(self._prefix), entry["Size"]):
                    yield segment

    def get(self, segment: Segment) -> bytes | None:
        try:
            answer = self._asked(lambda: self._client.get_object(Bucket=self._bucket, Key=self._prefix + segment.name))
        except FileNotFoundError:
            return None
        return bytes(answer["Body"].read())

    def open(self, segment: Segment) -> BinaryIO | None:
        data = self.get(segment)
        return None if data is None else io.BytesIO(data)

    def put(self, segment: Segment, data: bytes) -> None:
        self._asked(lambda: self._client.put_object(Bucket=self._bucket, Key=self._prefix + segment.name, Body=data))

    def remove(self, segment: Segment) -> None:
        self._asked(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + segment.name))

    def _asked(self, question: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return question()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                raise FileNotFoundError(str(error)) from None
            raise ComponentError(f"refuses: {error}", where=self._url, remedy="See AWS_SHARED_CREDENTIALS_FILE.") from None
        except BotoCoreError as error:
            raise ComponentError(f"gives no answer: {error}", where=self._url) from None
