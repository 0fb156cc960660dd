"""How a model is called: the address, and a request that works, with the model's own inputs."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api_shared.auth import may_read
from api_shared.problems import responses
from api_shared.teams import of_their_teams
from include.errors import UpdraftError
from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.runtime.settings import Settings
from lifecycle.api.fields import Model
from lifecycle.api.page_models import CallRow

router = APIRouter(prefix="/v1", tags=["overview"], dependencies=[Depends(may_read), Depends(of_their_teams)])
HELLO = [{"role": "user", "content": "Say hello in one sentence."}]


@router.get("/calling", response_model=CallRow, responses=responses())
def how_to_call(model: Annotated[Model, Query()]) -> Any:
    """A request that works, with the model's own inputs, and where it goes. Out of the gateway's own files: nothing is asked."""
    settings = Settings.load()
    found: dict[str, Any] = {
        "model": model,
        "url": settings.gateway_url,
        "path": "",
        "protocol": "",
        "body": None,
        "tensors": [],
        "why": "",
    }
    try:
        gateway = Gateway(settings)
        split, endpoints = gateway.split(model), gateway.revisions(model)
    except (UpdraftError, OSError) as error:
        return CallRow.model_validate(found | {"why": f"This machine's gateway can't be read: {error}"})
    if split is None:
        return CallRow.model_validate(found | {"why": "Nothing serves: there is no address to call yet."})
    endpoint = endpoints[max(split.weights, key=lambda revision: (split.weights[revision], revision))]
    return CallRow.model_validate(found | {"protocol": endpoint.protocol} | request(model, endpoint))


def request(model: str, endpoint: Endpoint) -> dict[str, Any]:
    """Return path and body of a request that this revision answers, and why there is none where it doesn't say its inputs. Pure."""
    if endpoint.protocol == "openai":
        return {"path": "/v1/chat/completions", "body": {"model": model, "messages": HELLO, "max_tokens": 64}}
    if endpoint.protocol != "kserve":
        return {"path": f"/models/{model}/", "why": "The server speaks a protocol of its own: see its documentation for what it takes."}
    about = json.loads(endpoint.about) if endpoint.about else {}
    tensors = (about.get("example") or {}).get("inputs", [])
    if rows := about.get("example_rows"):
        return {"path": f"/v1/models/{model}:predict", "body": rows, "tensors": tensors}
    if tensors:
        return {"path": f"/v2/models/{model}/infer", "body": {"inputs": tensors}, "tensors": tensors}
    return {"path": f"/v2/models/{model}/infer", "why": "Its bundle holds no example row that JSON can hold."}
