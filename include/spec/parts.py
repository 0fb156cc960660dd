"""What parts of a spec are made of, whatever its kind and backend: names, parameters, GPUs, limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_]{0,47}$"
ENTRY = r"^[A-Za-z_]\w*:[A-Za-z_]\w*$"
EntryPoint = Annotated[str, Field(pattern=ENTRY, description="`module:name` in the model's folder, e.g. `train:train`.")]
RelativeFile = Annotated[str, Field(min_length=1, max_length=240, description="A file in the model's folder.")]


class Part(BaseModel):
    """Base of every part of a spec: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Scalar = bool | int | float | str


def as_tuple(value: object) -> object:
    """Turn a list, as YAML has it, into the tuple that a field holds."""
    return tuple(value) if isinstance(value, list) else value  # behind another validator, strict mode no longer takes a list


class Param(Part):
    """One hyperparameter, settable per run by form or REST. A bare value in the spec is shorthand for ``{default: value}``."""

    default: Scalar
    """Value when the run names none; its type is the parameter's type."""
    description: str = ""
    """Shown in the trigger form."""
    minimum: float | None = None
    """Smallest value allowed (numbers)."""
    maximum: float | None = None
    """Largest value allowed (numbers)."""
    choices: Annotated[tuple[Scalar, ...] | None, BeforeValidator(as_tuple)] = None
    """The only values allowed."""


def _in_full(value: object) -> object:
    return value if isinstance(value, dict | Param) else {"default": value}


ParamName = Annotated[str, Field(pattern=NAME)]
Params = dict[ParamName, Annotated[Param, BeforeValidator(_in_full, json_schema_input_type=Param | Scalar)]]


AUTO = "auto"
"""``memory: auto``: what an estimate comes to."""


class Estimate(Part):
    """What `memory: auto` estimates: a language model that is trained (`python -m include.estimate MODEL --train ...`)."""

    model: Annotated[str, Field(min_length=1, max_length=240)]
    """A folder with config.json, a config.json (in the model's folder or absolute), or a name that the estimator knows."""
    method: Literal["full", "lora"] = "full"
    """Train all parameters, or LoRA adapters."""
    context: Annotated[int, Field(ge=1, le=100_000_000)] = 2048
    """Tokens of a sequence."""
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Sequences of a batch."""
    checkpointing: bool = True
    """Activations are computed again and not kept."""
    rank: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Rank of the adapters."""
    dtype: Literal["", "bfloat16", "float16", "float32"] = ""
    """Default: what the model's config says."""
    precision: Literal["mixed", "pure"] = "mixed"
    """16-bit weights beside a 32-bit copy, or everything in the one dtype."""
    optimiser: Literal["adam", "adam8bit", "paged-adam", "sgd", "adafactor"] = "adam"
    """Paged ones keep their moments in host memory."""
    shards: Annotated[int, Field(ge=1, le=65_536)] = 1
    """GPUs that share the training by ZeRO or FSDP."""
    stage: Annotated[int, Field(ge=1, le=3)] = 3
    """Of ZeRO: 1 shares the optimiser's state, 2 the gradients too, 3 (FSDP) the weights too."""


class Resources(Part):
    """What a step asks of the GPU pool: exactly one of gpus, fraction, memory and mig. Without it, the step asks for no GPU."""

    gpus: Annotated[int, Field(ge=1, le=64)] | None = None
    """Whole GPUs, all on one node (on each, beside `nodes`); beside `mig`, how many instances."""
    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    """Nodes that each give so many GPUs, all at once or none (training of several `workers`, on a cluster)."""
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """A share of one GPU: 0.3 is 30 %."""
    memory: Annotated[str | int, Field(union_mode="left_to_right")] | None = None
    """Memory of one GPU: `20GiB`, or MiB as a number; `auto` takes what `estimate` comes to."""
    mig: str | None = None
    """A MIG profile, e.g. `1g.10gb`."""
    estimate: Estimate | None = None
    """What `memory: auto` estimates."""
    models: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    """GPU models that will do, as the inventory names them. Default: any."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have."""
    prefer: dict[Literal["same", "within"], str] = Field(default_factory=dict)
    """`{same: rack}`: the nodes (`nodes` over 1) preferably share one value of this label. `{within: nvlink}`, `{within: numa}`: on each
    node its GPUs are preferably linked by NVLink, or of one NUMA node. Where that can't be had, it starts all the same."""
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    """1 (lowest) to 10. A higher one may take a GPU from a lower one that is preemptible."""
    team: str = "default"
    """Whose quota it counts against."""
    preemptible: bool = True
    """May be told to stop for others: the step is stopped, queued again and starts anew (see `$UPDRAFT_CHECKPOINTS`)."""
    duration_s: Annotated[float, Field(gt=0, le=90 * 24 * 3600)] | None = None
    """What you expect it to take (seconds): others are told when they will start, and a short one may start in a gap."""
    grace_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Time it needs to stop once told to (seconds). Default: the pool's."""


class ServeResources(Resources):
    """What a revision's server asks of the GPU pool; it holds it as long as it serves. `memory: auto` is estimated (backend vllm)."""

    preemptible: bool = False
    """May be told to stop for others: its callers get errors until there is room again (state PREEMPTED)."""


class Replicas(Part):
    """How many servers answer for a model, each with a place, a port and (where it needs one) a GPU of its own."""

    min: Annotated[int, Field(ge=1, le=64)] = 1
    """So many serve at least."""
    max: Annotated[int, Field(ge=1, le=64)] = 1
    """And so many at most, whoever asks: a person, an alert, the load. A restart adds one more for as long as it takes."""
    in_flight: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Requests under way a server, those that wait included, to which the number of servers is kept. Default: the load changes nothing."""
    up_s: Annotated[float, Field(ge=5, le=3600)] = 30
    """More servers come once the load has asked for them for so long (seconds)."""
    down_s: Annotated[float, Field(ge=30, le=24 * 3600)] = 300
    """Fewer stay once the load has asked for no more for so long (seconds)."""
    schedule: Annotated[dict[str, Annotated[int, Field(ge=1, le=64)]], Field(max_length=32)] = Field(default_factory=dict)
    """The least number of servers from each time on, instead of `min`: `{"0 7 * * 1-5": 3, "0 19 * * *": 1}` (cron, UTC). What came last
    holds."""


class Limits(Part):
    """What each step, or a server, may take of its machine (targets docker and kubernetes; a process takes what it gets)."""

    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*(MiB|GiB|TiB|MB|GB|TB)$")] | None = None
    """Memory: `8GiB`. A step that needs more is ended, and says so. Default: no limit."""
    cpus: Annotated[float, Field(ge=0.01, le=1024)] | None = None
    """Processors: 2.5 is two and a half. Default: no limit."""
