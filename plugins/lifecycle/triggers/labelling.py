"""Waits in the triggerer until people have labelled a round's tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from include.errors import ComponentError, InputError
from include.labels.client import Gone, LabelStudio
from lifecycle.labelling import key_of, label_studio

POLL_S = 10.0
LISTED = 30
"""At every so many looks tasks are listed whether or not the number of annotations has changed: one may have gone as another came."""


class LabelledTrigger(BaseTrigger):
    """Looks until the share ``enough`` of the tasks with these ``keys`` has as many annotations as there are ``annotators``, or ``wait_s``
    is over since ``begun_s``. Started again, it goes on. A server that is away ends no wait; a token that is refused, or a project that is
    gone, does: nobody can label then."""

    def __init__(
        self, *, project: int, keys: list[str], enough: float, annotators: int, wait_s: float, begun_s: float = 0.0, poll_s: float = POLL_S
    ) -> None:
        super().__init__()
        self.project, self.keys, self.enough, self.annotators = project, keys, enough, annotators
        self.wait_s, self.begun_s, self.poll_s = wait_s, begun_s or time.time(), poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("project", "keys", "enough", "annotators", "wait_s", "begun_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        studio: LabelStudio | None = None
        labelled, seen, looks = 0, -1, 0
        while True:
            try:
                # Asked for anew each time: a token that was put into the connection meanwhile is taken.
                studio = await sync_to_async(label_studio)()
                looks += 1
                labelled, seen = await asyncio.to_thread(self._look, studio, labelled, -1 if looks % LISTED == 0 else seen)
            except ComponentError as error:
                self.log.warning("Still waiting: %s", error)
            except Gone:
                remedy = "Clear the task `import`, which makes it anew with the round's tasks; labels that were in it are lost."
                yield TriggerEvent({"refused": f"project {self.project} is gone: it was deleted by hand.", "remedy": remedy})
                return
            except InputError as error:
                yield TriggerEvent({"refused": str(error)})
                return
            if labelled >= self.enough * len(self.keys) or time.time() - self.begun_s > self.wait_s:
                yield TriggerEvent({"labelled": labelled, "tasks": len(self.keys)})
                return
            await asyncio.sleep(self.poll_s)

    def _look(self, studio: LabelStudio, labelled: int, seen: int) -> tuple[int, int]:
        """How many of the tasks are labelled, and how many annotations the project had then: without new ones, tasks are not listed."""
        found = studio.project(self.project)
        number = sum(int(found.get(f"{sort}_annotations_number") or 0) for sort in ("total", "skipped"))
        if number == seen:
            return labelled, seen
        keys = set(self.keys)
        done = [one for one in studio.tasks(self.project) if key_of(one) in keys and _annotations(one) >= self.annotators]
        return len(done), number


def _annotations(task: dict[str, Any]) -> int:
    """How many people have said something of a task, be it that they can't tell."""
    return int(task.get("total_annotations") or 0) + int(task.get("cancelled_annotations") or 0)
