"""The task load_test: what a new language model's revision stands, before it has traffic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.load_test.figures import AtRate, LoadFigures, judge
from include.registry.mlflow import CHAMPION
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run

ARTIFACT = "load_test.json"


class LoadTest(LifecycleOperator):
    """Asks the new revision alone the held-out chats, at a rising rate, through the gateway; the figures are kept beside the champion's."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.bundles.chat import ChatBundle
        from include.data import chats
        from include.gateway.gateway import Gateway
        from include.load_test import client
        from include.release import bundle as bundles

        version = int(self.pulled(context, "register")["version"])
        extracted = self.pulled(context, "validate_data")
        prompts = [row.prompt for row in chats.table(Path(extracted["table"]), "eval")]
        bundle = ChatBundle.read(bundles.fetch(run.mlflow, run.model, version, run.settings.home / "bundles"))
        most = max(prompt.max_tokens for prompt in bundle.golden.prompts)  # what the served context has room for
        target = client.LoadTarget(run.settings.gateway_url, Gateway(run.settings).probe_headers(str(version)), run.model)
        found = client.run(target, prompts, most, run.spec.load_test, run.spec.serve.slo, version=version, say=self._say)
        run.mlflow.write(extracted["mlflow_run"], ARTIFACT, json.dumps(found.to_json(), indent=1).encode())
        verdict = judge(found, run.spec.load_test.min_rate, self._champion(run, version))
        run.keep("load_test", verdict, version)
        self.insist(verdict)
        return {"version": version, "best_rate": found.best_rate}

    def _say(self, found: AtRate) -> None:
        self.log.info(
            "%g requests a second: p99 of the first token %s ms, of the time per token %s ms; %s tokens/s; %s of %s failed. %s",
            *(found.rate, found.ttft_ms["p99"], found.tpot_ms["p99"], found.tokens_per_s, found.failed, found.requests),
            "; ".join((*found.missed, *found.problems)),
        )

    def _champion(self, run: Run, version: int) -> LoadFigures | None:
        """The champion's figures, as its own run left them; None when it left none."""
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        if champion in (None, version):
            return None
        try:
            text = run.mlflow.read(str(run.mlflow.version(run.model, int(champion))["run_id"]), ARTIFACT)
            return LoadFigures.from_json(json.loads(text))
        except (InputError, ValueError, KeyError, TypeError) as error:
            self.log.info("The champion (version %s) has no load test to compare with: %s", champion, error)
            return None
