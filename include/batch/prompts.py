"""Prompts as a batch: JSON Lines in, `answers.jsonl` and `errors.jsonl` out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.batch import items
from include.batch.client import UNREADABLE
from include.batch.form import BatchForm
from include.batch.items import Item
from include.batch.report import PromptReport, Report
from include.spec.params import PROMPTS_PARAMS

if TYPE_CHECKING:
    from include.batch.job import Job

ANSWERS, ERRORS = "answers.jsonl", "errors.jsonl"


class Prompts(BatchForm):
    """Chats, one a request."""

    what = "prompts"
    params = PROMPTS_PARAMS
    options = ("max_tokens", "temperature")

    def snapshot(self, path: Path) -> Path:
        return path.rename(path.with_suffix(".jsonl"))

    def lay_out(self, source: Path, target: Path, bundle: Path | None) -> int:
        return items.lay_out(source, target)

    def read(self, path: Path, start: int, stop: int) -> Iterator[tuple[int, Item]]:
        return items.read(path, start, stop)

    def path(self, model: str) -> str:
        return "/v1/chat/completions"

    def body(self, model: str, item: Item, options: Mapping[str, Any]) -> bytes:
        return json.dumps({"model": model, "messages": item.messages, **options}).encode()

    def record(self, text: bytes, headers: Mapping[str, str], item: Item) -> dict[str, Any]:
        try:
            said = json.loads(text)
            choice, usage = said["choices"][0], said.get("usage") or {}
            record = {
                "answer": str(choice["message"]["content"] or ""),
                "finish_reason": choice.get("finish_reason"),
                "prompt_tokens": int(usage.get("prompt_tokens", 0)),
                "completion_tokens": int(usage.get("completion_tokens", 0)),
                "revision": headers.get("x-updraft-revision", ""),
            }
        except UNREADABLE as error:
            return {"error": f"200 with no chat's answer ({error!r})"}
        return record if item.reference is None else {**record, "reference": item.reference}

    def collect(self, job: Job, priced_as: str) -> Report:
        report = PromptReport(job.model, job.input, job.lines, priced_as)
        parts = {name: job.folder / f".{name}.part" for name in (ANSWERS, ERRORS)}
        with parts[ANSWERS].open("w", encoding="utf-8") as answers, parts[ERRORS].open("w", encoding="utf-8") as errors:
            for record in job.records():
                line = {name: value for name, value in record.items() if name != "number"}
                (errors if "error" in record else answers).write(json.dumps(line, ensure_ascii=False) + "\n")
                report.add(record)
            for file in (answers, errors):
                file.flush()
                os.fsync(file.fileno())
        for name, part in parts.items():
            part.rename(job.folder / name)
        return report
