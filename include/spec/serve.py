"""What every backend's part of a spec (``serve``) has; each backend's own class stands in its folder and is told apart by ``backend``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from include.spec.document import Fault
from include.spec.parts import NAME, Limits, Params, Part, Replicas, ServeResources

Protocol = Literal["kserve", "openai", "own"]
"""What callers speak: KServe v2, OpenAI's API, or the server's own, which is passed through under the model's path."""
TABLE, LLM, TENSOR = "table", "llm", "tensor"
"""Kinds of models, as a spec names them."""


class Serve(Part):
    kind: ClassVar[str] = TABLE
    """Of the models that are served so."""
    forms: ClassVar[tuple[str, ...]] = ()
    """Quantised forms of a model that the backend serves, by the names of ``optimize.methods``."""
    usual: ClassVar[tuple[str, ...]] = ()
    """Those of them that are tried unless the spec says otherwise."""
    few_bits_for_gpus: ClassVar[bool] = False
    """Whether its kernels for quantised forms are made for GPUs."""
    sizes_memory: ClassVar[bool] = False
    """Whether the backend can tell what ``resources: {memory: auto}`` comes to."""

    resources: ServeResources | None = None
    """GPUs that the server needs. Deployment waits for them without a worker slot."""
    limits: Limits | None = None
    """What the server may take of its machine (targets docker and kubernetes)."""
    backend: str
    """Inference server of a revision."""
    params: Params = Field(default_factory=dict)
    """Parameters of the code around the model, each a field of the trigger form."""
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """A revision that is not ready by then has failed (seconds)."""
    drain_s: Annotated[float, Field(ge=0, le=600)] = 5
    """A revision out of traffic may finish its requests for this long (seconds)."""
    request_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10
    """The gateway gives up on a request after this (seconds)."""
    standby_s: Annotated[float, Field(ge=0, le=30 * 24 * 3600)] = 0
    """The champion that is succeeded runs on without traffic for this long (seconds), so that a return to it takes no start of a server.
    It makes room when the next version is deployed."""

    replicas: Replicas = Replicas()
    """How many servers answer for the model. More than one: a server that dies fails no request, and a restart none either. A request
    whose server has died under it is then asked again of another."""
    fallback: Annotated[str, Field(pattern=NAME)] | None = None
    """Another model, a smaller one say, that answers under this one's name while nothing of this one can: callers see the header
    `x-updraft-fallback`. It takes and gives the same."""

    @property
    def methods(self) -> tuple[str, ...]:
        """What the model is quantised to unless the spec says otherwise."""
        return self.usual

    @property
    def at_once(self) -> int:
        """What the server takes at once: rows of a request, or conversations."""
        return 64

    @property
    def requests_at_once(self) -> int:
        """How many requests keep the server busy, and one more."""
        return 2

    @property
    def preferred(self) -> tuple[int, ...]:
        """Numbers of rows that the server puts together where it can, rising."""
        return ()

    @property
    def no_plan(self) -> str:
        """Why the server runs no TensorRT plan; empty when it could."""
        return f"{self.backend} runs no plans"

    @property
    def with_code(self) -> bool:
        """Whether the server needs the code in the model's folder."""
        return False

    def classes(self) -> Mapping[str, str]:
        """Fields that name a class in the model's folder (``module:name``)."""
        return {}

    def files(self) -> Mapping[str, str]:
        """Fields that name a file in the model's folder."""
        return {}

    def runtime_of_forms(self, methods: Sequence[str]) -> str:
        """The environment in which the model is quantised to these methods; "" stands for that of the kind's other steps."""
        return ""

    def faults(self, spec: Any) -> Iterator[Fault]:
        """Everything of this part that contradicts itself or the rest of ``spec``."""
        yield from ()


class Slo(Part):
    """What callers are promised: the 99th percentile of each figure must not be above it (milliseconds)."""

    ttft_ms: Annotated[float, Field(gt=0)] = 1000
    """Time to the first token."""
    tpot_ms: Annotated[float, Field(gt=0)] = 100
    """Time per token after the first."""
    p99_ms: Annotated[float, Field(gt=0)] | None = None
    """Time to the end of an answer. Default: not judged, as it depends on the answer's length."""
    max_error_rate: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of requests that may fail."""


class ChatServe(Serve):
    """What is said of a language model's server, whichever it is."""

    kind: ClassVar[str] = LLM

    params: Params = Field(default_factory=dict, max_length=0)
    """None: a language model has no wrapper."""
    context: Annotated[int, Field(ge=16, le=10_000_000)] = 2048
    """Tokens of one conversation, prompt and answer together; a longer one is refused with 400."""
    parallel: Annotated[int, Field(ge=1, le=1024)] = 4
    """Conversations answered at once; more wait."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processor threads. Default: one a core."""
    start_timeout_s: Annotated[float, Field(gt=0, le=7200)] = 600
    """A revision that is not ready by then has failed (seconds). vLLM takes from half a minute to several."""
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 30
    """A revision out of traffic may finish its answers for this long (seconds)."""
    request_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 300
    """The gateway gives up on an answer after this (seconds)."""
    standby_s: Annotated[float, Field(ge=0, le=30 * 24 * 3600)] = 3600
    """The champion that is succeeded runs on without traffic for this long (seconds), so that a return to it takes no start of a server.
    It makes room when the next version is deployed; it keeps its memory, and its GPU, until then."""
    slo: Slo = Slo()
    """What a rate of the load test must keep."""

    @property
    def at_once(self) -> int:
        return self.parallel

    @property
    def requests_at_once(self) -> int:
        return self.parallel

    @property
    def stretched(self) -> bool:
        """Whether the server is told to follow more tokens than the model's own positions."""
        return False

    @property
    def as_adapter(self) -> bool:
        """Whether what `method: lora` trains is served as an adapter, instead of merged into the base."""
        return False
