"""Asks a judge, through pydantic-ai, for the marks of answers: structured, at temperature 0, several at once, nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from include.errors import ComponentError, InputError, UpdraftError
from include.judge.cache import Cache
from include.judge.labels import Scale

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model

WHERE = "evaluate.judge"
ANSWER_S = 300.0
"""Of one mark."""
SAID = 2000
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Mark:
    """``place`` on the scale, None where the judge gave no mark; ``said``: why this mark, or why none."""

    place: int | None
    said: str


class Judge:
    """A model with its instructions; ``asked`` counts the questions that were sent."""

    def __init__(self, model: Model, instructions: str, scale: Scale, cache: Cache, *, max_tokens: int = 1024, parallel: int = 4) -> None:
        self._model, self._instructions, self._scale, self._cache = model, instructions, scale, cache
        self._max_tokens, self._parallel = max_tokens, parallel
        self.asked = 0

    @property
    def name(self) -> str:
        """The model and the server that has it, for people."""
        server = urlsplit(str(self._model.base_url or "")).netloc
        return self._model.model_name + (f" at {server}" if server else "")

    def marks(self, questions: Sequence[str]) -> list[Mark]:
        """The marks, in the questions' order.

        ``ComponentError`` when the judge's server fails, ``InputError`` when it does not know the key or the model. A judge that answers
        in another form than asked, or that can't be asked this question, gives no mark.
        """
        found = {question: self._cache.get(self._key(question)) for question in questions}
        missing = [question for question, kept in found.items() if kept is None]
        marks = {question: Mark(**kept) for question, kept in found.items() if kept is not None}
        if missing:
            marks |= zip(missing, asyncio.run(self._all(missing)), strict=True)
        self._cache.prune()
        return [marks[question] for question in questions]

    async def _all(self, questions: Sequence[str]) -> list[Mark]:
        room = asyncio.Semaphore(self._parallel)
        agent = self._agent()
        try:
            async with self._model, asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(agent, room, question)) for question in questions]
        except* UpdraftError as errors:
            raise _first(errors) from None
        return [task.result() for task in tasks]

    async def _one(self, agent: Agent[Any, Any], room: asyncio.Semaphore, question: str) -> Mark:
        from pydantic_ai import exceptions

        async with room:
            self.asked += 1
            try:
                given = (await agent.run(question)).output
            except exceptions.UnexpectedModelBehavior as error:
                mark = Mark(None, f"not in the form that was asked for: {error}"[:SAID])
            except (exceptions.ModelAuthenticationError, exceptions.ModelNotFoundError, exceptions.ModelQuotaExceededError) as error:
                remedy = "Correct the connection or `evaluate.judge.model`, then clear the task."
                raise InputError(f"the judge {self.name} refused: {error.message[:400]}.", where=WHERE, remedy=remedy) from None
            except exceptions.ModelRequestRejectedError as error:
                return Mark(None, f"not taken by the judge: {error.message}"[:SAID])  # it cost nothing: it may be asked again
            except exceptions.ModelAPIError as error:
                remedy = "Marks that were given are kept."
                raise ComponentError(f"the judge {self.name} failed: {error.message[:400]}.", where=WHERE, remedy=remedy) from None
            else:
                mark = Mark(self._scale.index(given.mark), given.reason[:SAID])
            self._cache.put(self._key(question), asdict(mark))
            return mark

    def _agent(self) -> Agent[Any, Any]:
        from pydantic import ConfigDict, Field, create_model
        from pydantic_ai import Agent, NativeOutput
        from pydantic_ai.settings import ModelSettings

        fields: dict[str, Any] = {
            "reason": (str, Field(description="Why, in one or two sentences.")),
            "mark": (Literal[self._scale], Field(description="The mark.")),
        }
        form: Any = create_model("Mark", __config__=ConfigDict(extra="forbid"), **fields)
        settings = ModelSettings(temperature=0.0, max_tokens=self._max_tokens, timeout=ANSWER_S)
        # By the server's own constrained decoding where the model has it, as a tool's arguments elsewhere. No second try: a judge that
        # needs one gives no mark.
        output: Any = NativeOutput(form) if self._model.profile.get("supports_json_schema_output") else form
        return Agent(self._model, output_type=output, instructions=self._instructions, model_settings=settings, retries=0)

    def _key(self, question: str) -> str:
        parts = [
            self._model.model_name,
            self._model.base_url,
            self._model.system,
            self._max_tokens,
            self._scale,
            self._instructions,
            question,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _first(errors: BaseExceptionGroup[UpdraftError]) -> UpdraftError:
    """One error of a group; a user's fault before a server's."""
    flat: list[UpdraftError] = []
    for error in errors.exceptions:
        flat += [_first(error)] if isinstance(error, BaseExceptionGroup) else [error]
    return next((error for error in flat if isinstance(error, InputError)), flat[0])
