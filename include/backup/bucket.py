"""Backups in a bucket of S3, reached by Amazon's own settings, or by those in the folder that ``UPDRAFT_BACKUP_AWS`` names (`config`,
`credentials`): a platform whose artifacts are in one S3 may be backed up to another."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from include.backup.store import Content, content_name
from include.errors import ComponentError, InputError

PIECE_BYTES = 1 << 20
VARIABLE = "UPDRAFT_BACKUP_AWS"
_ABSENT = ("NoSuchKey", "404", "NotFound")


class Bucket:
    """See :class:`include.backup.store.Files`."""

    def __init__(self, url: str) -> None:
        self.where = url.rstrip("/")
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if not self._bucket:
            raise InputError("names no bucket.", where=url, remedy="Write s3://bucket, or s3://bucket/folder.")

    @cached_property
    def _client(self) -> Any:
        import boto3
        import botocore.session

        session = botocore.session.Session()
        if folder := os.environ.get(VARIABLE):
            if not Path(folder, "config").is_file():
                raise InputError("there is no file `config` in it.", where=f"{VARIABLE}={folder}", remedy="Put Amazon's files there.")
            session.set_config_variable("config_file", str(Path(folder, "config")))
            session.set_config_variable("credentials_file", str(Path(folder, "credentials")))
        return boto3.Session(botocore_session=session).client("s3")

    def size(self, name: str) -> int | None:
        try:
            with self._asked():
                return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)["ContentLength"])
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        try:
            with self._asked():
                return bytes(self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._asked():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def put(self, source: BinaryIO, folder: str) -> tuple[str, int]:
        # Its name must be known before it is sent, and what is sent must not change meanwhile: a copy of it on this machine.
        digest, size = hashlib.sha256(), 0
        with tempfile.TemporaryFile() as copy:
            while piece := source.read(PIECE_BYTES):
                digest.update(piece)
                size += copy.write(piece)
            copy.seek(0)
            with self._asked():
                self._client.upload_fileobj(copy, self._bucket, self._prefix + content_name(folder, digest.hexdigest()))
        return digest.hexdigest(), size

    def fetch(self, name: str, target: BinaryIO) -> None:
        with self._asked():
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            for piece in body.iter_chunks(PIECE_BYTES):
                target.write(piece)

    def folders(self, name: str) -> list[str]:
        start = f"{self._prefix}{name}/"
        keys = [entry["Key"].removeprefix(start) for page in self._pages(start) for entry in page.get("Contents", ())]
        return sorted({key.partition("/")[0] for key in keys if "/" in key})  # of prefixes, some servers list empty ones too

    def contents(self, folder: str) -> Iterator[Content]:
        now = datetime.now(UTC)
        for page in self._pages(f"{self._prefix}{folder}/"):
            for entry in page.get("Contents", ()):
                age_s = (now - entry["LastModified"]).total_seconds()
                yield Content(entry["Key"].rpartition("/")[2], int(entry["Size"]), age_s)

    def remove(self, name: str) -> None:
        with self._asked():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def _pages(self, prefix: str) -> list[dict[str, Any]]:
        with self._asked():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return list(pages)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn Amazon's errors into ours. FileNotFoundError: there is no such object."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in _ABSENT:
                raise FileNotFoundError(str(error)) from None
            remedy = f"Is there such a bucket, and may this key write to it? See AWS_SHARED_CREDENTIALS_FILE, or {VARIABLE}."
            raise ComponentError(f"refuses: {error}", where=self.where, remedy=remedy) from None
        except (BotoCoreError, Boto3Error) as error:
            raise ComponentError(f"gives no answer: {error}", where=self.where, remedy="Is it reached from here?") from None
