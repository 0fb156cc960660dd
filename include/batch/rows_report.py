"""What a batch of rows has come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.batch.report import MOST_PROBLEMS, Report


class RowReport(Report):
    """Rows answered and refused, rows a second, cost."""

    def add(self, record: Mapping[str, Any]) -> None:
        for answer in record["answers"]:
            if "error" in answer:
                self._errors += 1
                self._problems[str(answer["error"])[:200]] += 1
            else:
                self._answered += 1
                self._revisions[record["revision"]] += 1
        if "started" in record:
            self._spans.append((record["started"], record["started"] + record["seconds"]))

    def to_json(self) -> dict[str, Any]:
        busy_s = self.busy_s
        return self._about | {
            "lines": self._answered + self._errors,
            "answered": self._answered,
            "errors": self._errors,
            "busy_s": round(busy_s, 3),
            "rows_per_s": round(self._answered / busy_s, 2) if busy_s else None,
            "usd": round(self.usd, 6),
            "usd_per_million_rows": round(self.usd / self._answered * 1e6, 4) if self._answered else None,
            "revisions": dict(sorted(self._revisions.items())),
            "problems": dict(self._problems.most_common(MOST_PROBLEMS)),
        }

    def rows(self) -> list[tuple[str, Any]]:
        found = self.to_json()
        return [
            ("rows", found["lines"]),
            ("answered", found["answered"]),
            ("errors (column answer.error)", found["errors"]),
            ("answered by version", self.versions),
            ("seconds of work", f"{found['busy_s']:.1f}"),
            ("rows a second", found["rows_per_s"] or "none"),
            ("cost", f"{found['usd']:.4f} USD ({found['instance']}, {self._price.usd_per_hour} USD an hour)"),
        ]

    def __str__(self) -> str:
        found = self.to_json()
        speed = f"{found['rows_per_s']} rows/s" if found["rows_per_s"] else "no answers"
        return f"{found['answered']} of {found['lines']} rows answered, {found['errors']} errors; {speed}, {found['usd']:.4f} USD."
