"""What a batch asks and what it keeps, by the sort of question: :mod:`include.batch.prompts` or :mod:`include.batch.rows`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from include.batch.job import Job
    from include.batch.report import Report

Params = Mapping[str, Mapping[str, Any]]


class BatchForm(ABC):
    """An item is what one request asks; it is one of ``number``, from 0, and knows its ``line`` and ``id``."""

    what: ClassVar[str]
    """What is asked, for people: ``prompts``."""
    params: ClassVar[Params]
    """The parameters of a run, as JSON schemas by name."""
    options: ClassVar[tuple[str, ...]] = ()
    """Those of them that every request says."""

    @abstractmethod
    def snapshot(self, path: Path) -> Path:
        """Return how a restored snapshot at ``path`` is called so that :meth:`lay_out` reads it; a file is there under that name."""

    @abstractmethod
    def lay_out(self, source: Path, target: Path, bundle: Path | None) -> int:
        """Check all of ``source`` and write its items to ``target``, which appears whole; return how many there are.

        ``bundle``: the folder of the version that answers. Raises InputError or SpecError with every fault by its place.
        """

    @abstractmethod
    def read(self, path: Path, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield number and item from ``start`` to before ``stop`` of what :meth:`lay_out` has written."""

    @abstractmethod
    def path(self, model: str) -> str:
        """Return the gateway's path that is asked."""

    @abstractmethod
    def body(self, model: str, item: Any, options: Mapping[str, Any]) -> bytes:
        """Return the request's body of JSON."""

    @abstractmethod
    def record(self, text: bytes, headers: Mapping[str, str], item: Any) -> dict[str, Any]:
        """Return what is kept of an answer of status 200, or ``error``."""

    def parts(self, item: Any) -> Sequence[Any]:
        """Return the items to ask instead of one that was refused; fewer than two when there is nothing to divide."""
        return ()

    def joined(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the one record of the :meth:`parts` of an item."""
        raise NotImplementedError

    def failed(self, item: Any) -> dict[str, Any]:
        """Return what is kept of an item beside its ``error``."""
        return {}

    @abstractmethod
    def collect(self, job: Job, priced_as: str) -> Report:
        """Write all answers in the input's order to the job's folder, whole or not at all, and return what they have come to.

        Raises ComponentError when an item has no record, or two.
        """
