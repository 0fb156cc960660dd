"""Values as Kubernetes writes them, in options that people write."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[kMGTP]i?)?$")]
AbsolutePath = Annotated[str, Field(pattern=r"^/", max_length=500)]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


def quantity(size: str) -> str:
    """A spec's `8GiB` or `8 GB` in the words of Kubernetes."""
    return size.replace(" ", "").removesuffix("B")
