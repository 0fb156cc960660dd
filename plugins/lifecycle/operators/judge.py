"""The task judge: a language model marks a new version's answers and the champion's, once it has shown that it agrees with people."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from include import atomic
from include.errors import InputError
from include.runtime.settings import Settings
from include.spec import llm
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run

if TYPE_CHECKING:
    from pydantic_ai.models import Model

ARTIFACT = "judgement.json"


class Judge(LifecycleOperator):
    """Asks the judge that the spec names; marks are kept as they come, so a retry asks only for those that are missing."""

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.gates.evaluation import Evaluation
        from include.judge import held_out
        from include.judge.cache import Cache
        from include.judge.marking import judged

        for client in ("httpx", "httpx2"):
            logging.getLogger(client).setLevel(logging.WARNING)  # else a line a question
        evaluated = self.pulled(context, "evaluate")
        champion = Evaluation.read(Path(evaluated["evaluation"])).champion
        found = judged(
            run.spec,
            run.spec_path.parent,
            held_out.read(Path(evaluated["answers"])),
            judge_model(run.spec.evaluate.judge, run.settings),
            Cache(run.settings.home / "judge"),
            champion=champion.version if champion else None,
            not_comparable=champion.not_comparable if champion else "",
            say=self.log.info,
        )
        text, path = json.dumps(found.to_json(), indent=1), Path(evaluated["evaluation"]).with_name(ARTIFACT)
        atomic.write(path, text)
        run.mlflow.write(self.pulled(context, "validate_data")["mlflow_run"], ARTIFACT, text.encode())
        return {"judgement": str(path), "trusted": not found.doubt, "kappa": found.agreement.kappa.value, "mark": found.score.value}


def judge_model(wanted: llm.Judge, settings: Settings) -> Model:
    """The model that judges, as pydantic-ai asks it; nothing is asked yet. InputError for a connection that can't be used.

    A connection's fallbacks are not used: what was measured on the labels is one model.
    """
    if wanted.connection is None:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        from include.gateway.credentials import PROBE_CLIENT, Credentials

        key = Credentials.load(settings).api_keys[PROBE_CLIENT]
        return OpenAIChatModel(str(wanted.model), provider=OpenAIProvider(base_url=f"{settings.gateway_url}/v1", api_key=key))
    from airflow.providers.common.ai.hooks.pydantic_ai import PydanticAIHook
    from pydantic_ai.exceptions import UserError

    where = "evaluate.judge.connection"
    try:
        model: Model = PydanticAIHook.get_hook(wanted.connection, {"model_id": wanted.model, "fallback_conn_ids": []}).get_conn()
    except (AirflowException, ValueError, ImportError, UserError) as error:
        remedy = "Make it in Airflow (Admin, Connections) with the type `Pydantic AI`: see docs/language-models.md."
        raise InputError(f"{wanted.connection!r} can't be used: {str(error).rstrip('.')}.", where=where, remedy=remedy) from None
    return model
