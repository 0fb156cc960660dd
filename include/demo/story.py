"""A story: runs of a model's lifecycle one after another, with a client that goes on asking, and what must come of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from include.demo.progress import Progress, follow
from include.errors import ComponentError
from include.gateway.gateway import Gateway
from include.gateway.observe import Cursor, end_of, read_entries
from include.platform import scale
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.serving.traffic import Sender
from include.verdict import Decision

WITHDRAWN_S = "withdrawn_s"
"""The canary task's XCom; named in its operator too."""


@dataclass(frozen=True)
class Chapter:
    """One run of the lifecycle: its params, and the verdict that it must come to: PROMOTE, ROLLBACK, or FAIL at the gate.

    ``because``: what one of the verdict's reasons must begin with (any of these).
    """

    title: str
    conf: Mapping[str, Any] | Callable[[Story], Mapping[str, Any]]
    ends: Literal["PROMOTE", "ROLLBACK", "FAIL"]
    because: tuple[str, ...] = ()

    @property
    def decided_by(self) -> str:
        return "gate" if self.ends == "FAIL" else "canary"

    @property
    def state(self) -> str:
        """A version that the gate refuses fails its run."""
        return "failed" if self.ends == "FAIL" else "success"


@dataclass(frozen=True)
class Script:
    """What is told of which model. ``client`` gives the traffic that begins when there is a champion; ``sends`` says it in words, and its
    ``{rate}`` how many requests a second they are."""

    model: str
    chapters: tuple[Chapter, ...]
    client: Callable[[Settings, Credentials], Sender]
    sends: str
    address: str
    run_s: float = 300

    @property
    def dag(self) -> str:
        return f"{self.model}_lifecycle"


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
    answers_per_s: float | None = None
    """Of both arms, during the trial."""
    withdrawn_s: float | None = None
    """From a rollback's verdict to the gateway's sending the version nothing more."""


@dataclass
class Story:
    """Runs the chapters on a platform that is up, with a client that asks all along once there is a champion."""

    script: Script
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
        traffic: Sender | None = None
        try:
            for number, chapter in enumerate(self.script.chapters, 1):
                if number == 1 and CHAMPION in self.mlflow.aliases(self.script.model):
                    self.progress.say("Chapter 1 was told before: there is a champion already")
                else:
                    self.progress.say(f"Chapter {number}. {chapter.title}")
                    self._check(number, chapter, self._run(chapter))
                traffic = traffic or self._traffic()
        finally:
            report = traffic.stop() if traffic else None
        assert report is not None and traffic is not None
        return self._result(report.to_json() | traffic.quality(), begin)

    def summary(self, result: Mapping[str, Any]) -> str:
        """The story in a few lines."""
        told = (
            f"\nIn {result['seconds']} s: version {result['champion_version']} is champion. "
            f"The client sent {result['requests_total']} requests; {result['requests_failed_stable']} of those to stable versions failed.\n"
        )
        if result["runs"][-1]["verdict"] == Decision.FAIL:
            return f"{told}The last version never reached production: {' '.join(result['runs'][-1]['reasons'])}"
        return told + (
            f"Version {result['runs'][-1]['version']} failed {result['requests_failed_canary']} requests of its slice, was found out after "
            f"{result['canary_detection_seconds']} s on trial and got no request any more {result['rollback_seconds']} s after the verdict."
        )

    def failure(self, result: Mapping[str, Any]) -> str:
        """Why a story that was told to its end did not show what it is for; empty when it did."""
        return failure(result)

    def _traffic(self) -> Sender:
        traffic = self.script.client(self.settings, self.credentials)
        traffic.start()
        self.progress.say(f"From now on a client sends {self.script.sends.format(rate=traffic.rate)} through the gateway")
        return traffic

    def _check(self, number: int, chapter: Chapter, told: Told) -> None:
        self.told.append(told)
        if told.verdict != chapter.ends or told.state != chapter.state:
            slow = ""
            if told.verdict == Decision.INCONCLUSIVE and told.answers_per_s is not None:
                slow = f"This machine answered {told.answers_per_s:.3g} requests a second, too few to decide in the trial's time. "
                slow += "Run it again when the machine has less to do, or with a longer `canary.step_s` in the model's spec. "
            raise ComponentError(
                f"chapter {number} ended with {told.verdict} and not with {chapter.ends} (the run: {told.state}).",
                where="demo",
                remedy=f"{slow}See {self._page(told)}",
            )
        if chapter.because and not any(reason.startswith(chapter.because) for reason in told.reasons):
            raise ComponentError(
                f"chapter {number} ended as it should, but for another reason than {' or '.join(chapter.because)}.",
                where="demo",
                remedy=f"See {self._page(told)}",
            )

    def _page(self, told: Told) -> str:
        return f"{self.settings.airflow_url}/dags/{self.script.dag}/runs/{told.run_id}"

    def _run(self, chapter: Chapter) -> Told:
        started = self.progress.seconds
        dag = self.script.dag
        run_id = self.api.trigger(dag, dict(chapter.conf(self) if callable(chapter.conf) else chapter.conf))
        state = follow(self.api, dag, run_id, self.progress, timeout_s=self.script.run_s)
        rows = {row["kind"]: row for row in self.api.get("/lifecycle/v1/verdicts", params={"run_key": f"{dag}/{run_id}"})}
        decided = rows.get(chapter.decided_by)
        if decided is None:
            what = f"run {run_id} ended as {state} before its {chapter.decided_by}."
            raise ComponentError(what, where=dag, remedy="See the run in Airflow.")
        looks = self.api.get("/lifecycle/v1/looks", params={"run_key": f"{dag}/{run_id}"})
        told = Told(
            run_id=run_id,
            state=state,
            verdict=decided["decision"],
            reasons=decided["body"]["reasons"],
            seconds=round(self.progress.seconds - started, 1),
            version=decided["version"],
            verdict_at=datetime.fromisoformat(looks[-1]["at"]).timestamp() if looks else 0.0,
            canary_seconds=looks[-1]["body"]["passed_s"] if looks else None,
            answers_per_s=answers_per_s([row["body"] for row in looks]),
            withdrawn_s=self._withdrawn_s(run_id) if decided["decision"] == Decision.ROLLBACK else None,
        )
        self.progress.say(f"  {told.verdict}: {' '.join(told.reasons)}")
        return told

    def _withdrawn_s(self, run_id: str) -> float | None:
        path = f"/api/v2/dags/{self.script.dag}/dagRuns/{run_id}/taskInstances/canary/xcomEntries"
        kept = {entry["key"] for entry in self.api.get(path)["xcom_entries"]}
        return float(self.api.get(f"{path}/{WITHDRAWN_S}")["value"]) if WITHDRAWN_S in kept else None

    def _result(self, traffic: Mapping[str, Any], begin: Cursor) -> dict[str, Any]:
        bad = self.told[-1]
        entries, _ = read_entries(Gateway(self.settings).access_log, begin)
        on_bad = [entry.time_s for entry in entries if entry.revision == str(bad.version) and entry.kind == "live"]
        failed_bad = traffic["revisions"].get(str(bad.version), {}).get("failed", 0)
        return {
            "runs": [
                {
                    "run_id": told.run_id,
                    "version": told.version,
                    "verdict": told.verdict,
                    "reasons": told.reasons,
                    "seconds": told.seconds,
                    "canary_seconds": told.canary_seconds,
                }
                for told in self.told
            ],
            "champion_version": self.mlflow.aliases(self.script.model)[CHAMPION],
            "requests_total": traffic["total"],
            "requests_failed_stable": traffic["failed"] - failed_bad,
            "requests_failed_canary": failed_bad,
            "canary_detection_seconds": round(bad.canary_seconds or 0.0, 2),
            "rollback_seconds": rollback_seconds(bad, max(on_bad, default=0.0)),
            "seconds": round(self.progress.seconds, 1),
            "scale": str(scale.chosen(self.settings)),
            "traffic": traffic,
            "urls": {
                "airflow": self.settings.airflow_url,
                "mlflow": self.settings.mlflow_url,
                "gateway": f"{self.settings.gateway_url}{self.script.address}",
                "runs": [self._page(told) for told in self.told],
            },
        }


def rollback_seconds(bad: Told, last_request_at: float) -> float | None:
    """Return the seconds from the verdict to the version's last request, or to the gateway's sending it nothing more, whichever is later;
    None where there was no rollback. Pure."""
    if bad.withdrawn_s is None:
        return None
    return round(max(bad.withdrawn_s, last_request_at - bad.verdict_at), 3)


def failure(result: Mapping[str, Any]) -> str:
    """Return why a story that came to its end is none that may be told; empty when it is. Pure."""
    failed = result["requests_failed_stable"]
    if not failed:
        return ""
    return (
        f"{failed} of {result['requests_total']} requests went to a stable version and failed; none should. "
        "See `traffic` in the result for what came back, and the gateway's log."
    )


def answers_per_s(looks: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the requests of both arms a second over a trial's looks (their bodies, in order); None without any. Pure."""
    if not looks or not looks[-1]["passed_s"]:
        return None
    requests = sum(body["look"][arm]["requests"] for body in looks for arm in ("stable", "canary"))
    return float(requests / looks[-1]["passed_s"])
