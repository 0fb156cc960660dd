"""What MLflow's pages say of a run, of its version and of its model. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from include.report.data import ReportData


@dataclass(frozen=True)
class MlflowWords:
    """``name`` and ``note`` of the run; descriptions of the ``version`` and of the ``model``. All but the name are Markdown."""

    name: str
    note: str
    version: str
    model: str


def mlflow_words(data: ReportData, report_url: str, run_url: str) -> MlflowWords:
    """Return them: ``digits v3 · ROLLED BACK``, with the reasons, and where production is changed: not in MLflow."""
    version = f" v{data.version}" if data.version is not None else ""
    began = f"\n\n{_text(data.began)}" if data.began else ""
    reasons = "".join(f"\n- {reason}" for reason in data.result.reasons)
    links = f"[The run's report]({report_url}) · [the run in Airflow]({run_url})"
    where = (
        f"Production is changed in Airflow, not here: run `{data.model}_lifecycle` for a new version, `{data.model}_rollback` (or "
        f"`make rollback MODEL={data.model}`) to go back. Aliases follow what is done there; setting one here moves no traffic."
    )
    said = f"**{data.result.label}**: {data.result.sentence}"
    model = f"{data.description}\n\n{where}".strip()
    return MlflowWords(
        f"{data.model}{version} · {data.result.label}", f"{said}{reasons}{began}\n\n{links}", f"{said}{began}\n\n{links}\n\n{where}", model
    )


def _text(text: str) -> str:
    """Somebody else's words as Markdown that shows them as they are: no link, no picture."""
    return re.sub(r"([\\`*_\[\]<>!#|~])", r"\\\1", " ".join(text.split()))
