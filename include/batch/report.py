"""What a batch has come to: answers, errors, tokens a second, cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any

from include.gates import chat
from include.gateway.metering import Usage, instance

MOST_PROBLEMS = 5


class Report(ABC):
    """Gathers records (:mod:`include.batch.ledger`) one by one. ``priced_as``: the machine by whose price a second costs."""

    def __init__(self, model: str, source: str, lines: int, priced_as: str) -> None:
        self._about = {"model": model, "input": source, "lines": lines, "instance": priced_as}
        self._price = instance(priced_as)
        self._answered = self._errors = 0
        self._revisions: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        self._spans: list[tuple[float, float]] = []

    @abstractmethod
    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record into account."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return figures by name; ``usd`` is ``busy_s`` at the instance's price, as though the batch had had it for itself."""

    @abstractmethod
    def rows(self) -> list[tuple[str, Any]]:
        """Return the figures for people, by what they are called."""

    def page(self) -> str:
        """Return the same for people, as Markdown."""
        table = "\n".join(f"| {name} | {value} |" for name, value in self.rows())
        problems = "".join(f"- {count} × {problem}\n" for problem, count in self._problems.most_common(MOST_PROBLEMS))
        errors = f"\n## Errors\n\n{problems}" if problems else ""
        head = f"# Batch of {self._about['model']}: {self._about['input']}"
        return f"{head}\n\n| figure | value |\n| --- | ---: |\n{table}\n{errors}"

    @property
    def versions(self) -> str:
        """How many were answered by which version, for people."""
        return ", ".join(f"{version} ({count})" for version, count in sorted(self._revisions.items())) or "none"

    @property
    def busy_s(self) -> float:
        """Seconds in which at least one answer was being given; waiting for others' traffic, or for a new try, is none."""
        busy, end = 0.0, 0.0
        for start, stop in sorted(self._spans):
            busy += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return busy

    @property
    def usd(self) -> float:
        """What these seconds cost."""
        return Usage("", "", "", seconds=self.busy_s).cost_usd(self._price)


class PromptReport(Report):
    """What has become of prompts: answers, errors, tokens."""

    def __init__(self, model: str, source: str, lines: int, priced_as: str) -> None:
        super().__init__(model, source, lines, priced_as)
        self._prompt = self._completion = self._compared = self._right = 0
        self._ended: Counter[str] = Counter()

    def add(self, record: Mapping[str, Any]) -> None:
        if "error" in record:
            self._errors += 1
            self._problems[str(record["error"])[:200]] += 1
            return
        self._answered += 1
        self._prompt += record["prompt_tokens"]
        self._completion += record["completion_tokens"]
        self._revisions[record["revision"]] += 1
        self._ended[str(record["finish_reason"])] += 1
        self._spans.append((record["started"], record["started"] + record["seconds"]))
        if "reference" in record:
            self._compared += 1
            self._right += chat.matches(record["answer"], record["reference"])

    def to_json(self) -> dict[str, Any]:
        busy_s = self.busy_s
        cost = self.usd
        return self._about | {
            "answered": self._answered,
            "errors": self._errors,
            "prompt_tokens": self._prompt,
            "completion_tokens": self._completion,
            "busy_s": round(busy_s, 3),
            "tokens_per_s": round(self._completion / busy_s, 2) if busy_s else None,
            "usd": round(cost, 6),
            "usd_per_million_tokens": round(cost / self._completion * 1e6, 4) if self._completion else None,
            "revisions": dict(sorted(self._revisions.items())),
            "ended": dict(sorted(self._ended.items())),
            "compared": self._compared,
            "right": self._right,
            "problems": dict(self._problems.most_common(MOST_PROBLEMS)),
        }

    def rows(self) -> list[tuple[str, Any]]:
        found = self.to_json()
        rows = [
            ("lines", found["lines"]),
            ("answered", found["answered"]),
            ("errors (errors.jsonl)", found["errors"]),
            ("answered by version", self.versions),
            ("answers ended by", ", ".join(f"{reason} ({count})" for reason, count in found["ended"].items()) or "none"),
            ("prompt tokens", found["prompt_tokens"]),
            ("completion tokens", found["completion_tokens"]),
            ("seconds of work", f"{found['busy_s']:.1f}"),
            ("completion tokens a second", found["tokens_per_s"] or "none"),
            ("cost", f"{found['usd']:.4f} USD ({found['instance']}, {self._price.usd_per_hour} USD an hour)"),
        ]
        if found["compared"]:
            rows.append(("as the input's own answer", f"{found['right']} of {found['compared']}"))
        return rows

    def __str__(self) -> str:
        found = self.to_json()
        speed = f"{found['tokens_per_s']} tokens/s" if found["tokens_per_s"] else "no tokens"
        return f"{found['answered']} of {found['lines']} lines answered, {found['errors']} errors; {speed}, {found['usd']:.4f} USD."
