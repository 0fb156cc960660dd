"""The story that `make demo` tells: a first version, a better one, and a bad one that only production finds out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.demo.progress import Progress, follow
from include.errors import ComponentError
from include.gateway.gateway import Gateway
from include.gateway.observe import Cursor, end_of, read_entries
from include.platform.airflow_api import AirflowApi
from include.platform.credentials import Credentials
from include.platform.settings import Settings
from include.registry.mlflow import CHAMPION, Mlflow
from include.serving.traffic import Traffic

MODEL = "digits"
DAG = f"{MODEL}_lifecycle"
RATE_PER_S = 70
RUN_S = 300


@dataclass(frozen=True)
class Chapter:
    """One run of the lifecycle: its params, and what must come of it."""

    title: str
    conf: Mapping[str, Any]
    promoted: bool


CHAPTERS = (
    Chapter("A small network, the first champion", {"hidden_units": 16, "epochs": 15}, promoted=True),
    Chapter("A larger network, on trial with real traffic", {}, promoted=True),
    Chapter(
        "A network that is good on paper, but in production fails one request in five and answers late",
        {"seed": 1, "error_rate": 0.2, "delay_ms": 40.0},
        promoted=False,
    ),
)


@dataclass
class Told:
    """What became of one chapter."""

    run_id: str
    state: str
    verdict: str
    reasons: list[str]
    seconds: float
    version: int | None
    verdict_at: float = 0.0
    canary_seconds: float | None = None


@dataclass
class Story:
    """Runs the chapters on a platform that is up, with a client that sends real digits all along once there is a champion."""

    settings: Settings
    credentials: Credentials
    api: AirflowApi
    mlflow: Mlflow
    progress: Progress
    told: list[Told] = field(default_factory=list)

    def tell(self) -> dict[str, Any]:
        """The whole story; the result for demo.json. Raises ComponentError when it did not go as it should."""
        log = Gateway(self.settings).access_log
        begin = end_of(log)
        traffic: Traffic | None = None
        try:
            for number, chapter in enumerate(CHAPTERS, 1):
                if number == 1 and CHAMPION in self.mlflow.aliases(MODEL):
                    self.progress.say("Chapter 1 was told before: there is a champion already")
                else:
                    self.progress.say(f"Chapter {number}. {chapter.title}")
                    self._check(number, chapter, self._run(chapter))
                traffic = traffic or self._traffic()
        finally:
            report = traffic.stop() if traffic else None
        assert report is not None
        return self._result(report.to_json(), begin)

    def _traffic(self) -> Traffic:
        key = self.credentials.api_keys["demo"]
        traffic = Traffic(self.settings.gateway_url, key, MODEL, images(), RATE_PER_S, check=reads_a_digit)
        traffic.start()
        self.progress.say(f"From now on a client sends {RATE_PER_S} images a second through the gateway")
        return traffic

    def _check(self, number: int, chapter: Chapter, told: Told) -> None:
        self.told.append(told)
        wanted = "PROMOTE" if chapter.promoted else "ROLLBACK"
        if told.verdict != wanted or told.state != "success":
            raise ComponentError(
                f"chapter {number} ended with {told.verdict} and not with {wanted} (the run: {told.state}).",
                where="demo",
                remedy=f"See {self.settings.airflow_url}/dags/{DAG}/runs/{told.run_id}",
            )

    def _run(self, chapter: Chapter) -> Told:
        started = self.progress.seconds
        run_id = self.api.trigger(DAG, dict(chapter.conf))
        state = follow(self.api, DAG, run_id, self.progress, timeout_s=RUN_S)
        rows = {row["kind"]: row for row in self.api.get("/lifecycle/v1/verdicts", params={"run_key": f"{DAG}/{run_id}"})}
        canary = rows.get("canary")
        if canary is None:
            raise ComponentError(f"run {run_id} ended as {state} before its canary.", where=DAG, remedy="See the run in Airflow.")
        looks = self.api.get("/lifecycle/v1/looks", params={"run_key": f"{DAG}/{run_id}"})
        told = Told(
            run_id=run_id,
            state=state,
            verdict=canary["decision"],
            reasons=canary["body"]["reasons"],
            seconds=round(self.progress.seconds - started, 1),
            version=canary["version"],
            verdict_at=datetime.fromisoformat(looks[-1]["at"]).timestamp() if looks else 0.0,
            canary_seconds=looks[-1]["body"]["passed_s"] if looks else None,
        )
        self.progress.say(f"  {told.verdict}: {' '.join(told.reasons)}")
        return told

    def _result(self, traffic: Mapping[str, Any], begin: Cursor) -> dict[str, Any]:
        bad = self.told[-1]
        entries, _ = read_entries(Gateway(self.settings).access_log, begin)
        on_bad = [entry.time_s for entry in entries if entry.revision == str(bad.version) and entry.kind == "live"]
        failed_bad = traffic["revisions"].get(str(bad.version), {}).get("failed", 0)
        return {
            "runs": [
                {"run_id": told.run_id, "version": told.version, "verdict": told.verdict, "reasons": told.reasons, "seconds": told.seconds}
                for told in self.told
            ],
            "champion_version": self.mlflow.aliases(MODEL)[CHAMPION],
            "requests_total": traffic["total"],
            "requests_failed_stable": traffic["failed"] - failed_bad,
            "requests_failed_canary": failed_bad,
            "canary_detection_seconds": round(bad.canary_seconds or 0.0, 2),
            "rollback_seconds": round(max(max(on_bad, default=0.0) - bad.verdict_at, 0.0), 3),
            "seconds": round(self.progress.seconds, 1),
            "traffic": traffic,
            "urls": {
                "airflow": self.settings.airflow_url,
                "mlflow": self.settings.mlflow_url,
                "gateway": f"{self.settings.gateway_url}/v2/models/{MODEL}/infer",
                "runs": [f"{self.settings.airflow_url}/dags/{DAG}/runs/{told.run_id}" for told in self.told],
            },
        }


def images() -> list[list[dict[str, Any]]]:
    """The bundled digits, each as the inputs of one KServe v2 request."""
    from sklearn.datasets import load_digits

    rows = load_digits().data.tolist()
    return [[{"name": "input", "datatype": "FP32", "shape": [1, len(row)], "data": row}] for row in rows]


def reads_a_digit(answer: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer: it must hold one digit, and probabilities that add up to 1."""
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    if len(outputs.get("label", ())) != 1 or outputs["label"][0] not in range(10):
        return f"no digit in {outputs.get('label')!r}"
    total = sum(outputs.get("probabilities", ()))
    return None if abs(total - 1) < 0.01 else f"probabilities add up to {total}"
