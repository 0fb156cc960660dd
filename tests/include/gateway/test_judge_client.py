"""A judge behind the gateway that does not let it in: the user is told, and nothing is tried again."""

from pathlib import Path

import pytest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from include.errors import InputError
from include.judge.ask import Judge
from include.judge.cache import Cache
from include.judge.labels import TWO
from tests.include.serving.stage import KEY, Stage

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("key", "expected"), [("wrong", "401"), (KEY, "404")])
def test_a_key_or_a_model_that_the_gateway_does_not_know(stage: Stage, tmp_path: Path, key: str, expected: str) -> None:
    assert stage.gateway.admin.running()
    model = OpenAIChatModel("nobody", provider=OpenAIProvider(base_url=f"{stage.settings.gateway_url}/v1", api_key=key))
    judge = Judge(model, "Judge.", TWO, Cache(tmp_path))
    with pytest.raises(InputError) as caught:
        judge.marks(["one", "two"])
    assert f"the judge nobody at 127.0.0.1:{stage.settings.gateway_port} refused" in caught.value.what and expected in caught.value.what
    assert caught.value.where == "evaluate.judge" and not list(tmp_path.glob("*/*.json"))
