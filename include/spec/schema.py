"""The model spec: all that Updraft knows about a model, with a default for everything but its name, task and data.

Every field's description is what a user reads in the JSON schema, in the editor and in the trigger form.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_]{0,47}$"
ENTRY = r"^[A-Za-z_]\w*:[A-Za-z_]\w*$"
EntryPoint = Annotated[str, Field(pattern=ENTRY, description="`module:name` in the model's folder, e.g. `train:train`.")]
RelativeFile = Annotated[str, Field(min_length=1, max_length=240, description="A file in the model's folder.")]
Percent = Annotated[int, Field(ge=1, le=99)]


class Part(BaseModel):
    """Base of every part of a spec: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Scalar = bool | int | float | str


class Task(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    CHAT = "chat"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # behind another validator, strict mode no longer takes a list


def _as_columns(value: object) -> object:
    return (value,) if isinstance(value, str) else _as_tuple(value)


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
    choices: Annotated[tuple[Scalar, ...] | None, BeforeValidator(_as_tuple)] = None
    """The only values allowed."""


def _in_full(value: object) -> object:
    return value if isinstance(value, dict | Param) else {"default": value}


ParamName = Annotated[str, Field(pattern=NAME)]
Params = dict[ParamName, Annotated[Param, BeforeValidator(_in_full, json_schema_input_type=Param | Scalar)]]


class Csv(Part):
    """How a CSV file is written. In a text column only the empty field is missing; among numbers NA, null and their like are too."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Between fields."""
    decimal: Annotated[str, Field(min_length=1, max_length=1)] = "."
    """Before the decimals of a number."""
    thousands: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Between the thousands of a number: ',' in 1,234.50."""
    encoding: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "utf-8"
    """As Python names it: `latin-1`, `cp1252`, `utf-16`."""
    missing: tuple[str, ...] = ()
    """Further texts that mean a missing value, in every column: `['-', '?']`."""
    dates: Annotated[dict[str, str] | tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Columns that are dates (ISO 8601), or each with its form: `{day: '%d.%m.%Y'}`."""
    text: tuple[str, ...] = ()
    """Columns that stay texts whatever they look like: postcodes, identifiers."""
    units: tuple[str, ...] = ()
    """Signs around numbers that are taken away: `['€', '%']` reads `€ 3` and `5 %` as 3 and 5."""

    @property
    def date_formats(self) -> dict[str, str | None]:
        """Name → form of each column of dates; None stands for ISO 8601."""
        return dict(self.dates) if isinstance(self.dates, dict) else dict.fromkeys(self.dates)


class Data(Part):
    source: str
    """`module:function` in the model's folder that returns a pandas DataFrame, or the path of a CSV or Parquet file in it."""
    target: str
    """The column to predict."""
    features: tuple[str, ...] | None = None
    """Columns the model sees, in order. Default: every column but the target, the group and those that `exclude` names."""
    exclude: tuple[str, ...] = ()
    """Columns the model must not see, though the gate may slice by them."""
    group: str | None = None
    """Rows that share this column's value stay on one side of the train/test split."""
    key: Annotated[tuple[str, ...], BeforeValidator(_as_columns)] = ()
    """Column, or columns, that identify a row. They alone decide its side: it stays there when other columns change, are added or age."""
    time: str | None = None
    """Column of dates or numbers by which train and test are split: the latest `test_fraction` of the rows is held out, and nothing of the
    future is trained on."""
    gap: Annotated[float, Field(ge=0)] = 0
    """Rows this close before the first held-out one are left out of training: in days, or where `time` is a number in its own unit."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the rows held out. A row's side depends on its content alone, so it never changes side between snapshots."""
    expectations: RelativeFile = "expectations.yaml"
    """Great Expectations suite of the source."""
    csv: Csv = Csv()
    """How the CSV file is written, where `source` is one."""


class Estimate(Part):
    """What `memory: auto` estimates: a language model that is trained with Adam (`python -m include.estimate MODEL --train ...`)."""

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


class Launcher(StrEnum):
    TORCHRUN = "torchrun"
    RAY = "ray"


class Workers(Part):
    """Training by several processes that speak to each other, as with torch's DistributedDataParallel."""

    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processes that train together, spread evenly over `resources.nodes`. Each runs the training with torchrun's environment (RANK,
    WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...); the model is that of rank 0. When one is killed, all start again from their checkpoints."""
    launcher: Launcher = Launcher.TORCHRUN
    """What starts them: torchrun where the step runs (on several nodes, by Kubeflow's Trainer), or `ray` on the cluster of connection
    `updraft_ray`."""

    @property
    def shared(self) -> bool:
        """Whether a launcher starts the training."""
        return self.workers > 1 or self.launcher is not Launcher.TORCHRUN


class Train(Workers):
    entry: EntryPoint = "train:train"
    """`def train(X: DataFrame, y: Series, params: dict) -> fitted scikit-learn estimator`."""
    runtime: Literal["trainer", "llm"] = "trainer"
    """Environment the function runs in: `docker/<runtime>/requirements.txt`. `llm` has torch (`make install-llm`)."""
    params: Params = Field(default_factory=dict)
    """Hyperparameters, each a field of the trigger form."""
    timeout_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 60
    """Training that takes longer is stopped and fails. Time spent waiting for a GPU doesn't count."""
    resources: Resources | None = None
    """GPUs that training needs. It waits for them without a worker slot."""
    trusted_types: tuple[str, ...] = ()
    """Full names of types outside scikit-learn and numpy that the fitted model may hold; it is stored by skops, never pickled."""


class Bar(Part):
    """An absolute bar on one metric."""

    metric: str
    """A metric of the evaluation, e.g. `accuracy`, `f1_macro`, `log_loss`, `brier`, `r2`, `mae`, `wape`; of one class, `recall/<class>`
    (`precision`, `f1`, `average_precision`); of a quantile, `pinball/0.9` or `quantile_error/0.9`."""
    min: float | None = None
    """The metric must not be below this."""
    max: float | None = None
    """The metric must not be above this."""


class Gate(Part):
    metric: str | None = None
    """The score. Default: `accuracy` for classification (`balanced_accuracy` where a class is rare), `r2` for regression. Higher is
    better."""
    min_score: float = 0.85
    """The score must reach this (seed: evaluation before deployment, --min-score 0.85)."""
    bars: tuple[Bar, ...] = ()
    """Further absolute bars."""
    max_regression: Annotated[float, Field(ge=0)] = 0.0
    """The challenger may be worse than the champion by this much before a significant difference counts against it."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of the intervals and of the paired test against the champion."""
    slices: tuple[str, ...] = ()
    """Columns by whose values the score is also given; a slice significantly worse than the champion's fails the gate."""
    allow_api_change: bool = False
    """A version may change what callers send and get (names, types, order of columns, classes). Otherwise such a change fails the gate."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown and not judged."""
    approval: bool = False
    """Ask a person before deployment (Airflow's human-in-the-loop), after the gate has passed."""
    approval_timeout_hours: Annotated[float, Field(gt=0)] = 72
    """An unanswered approval counts as refused after this."""


class OptimizeMethod(StrEnum):
    GRAPH = "graph"
    INT8 = "int8"
    TENSORRT_FP32 = "tensorrt_fp32"
    TENSORRT_FP16 = "tensorrt_fp16"
    TENSORRT_INT8 = "tensorrt_int8"
    TENSORRT_FP8 = "tensorrt_fp8"

    @property
    def precision(self) -> str:
        """Of a TensorRT plan: ``fp16``; empty for ONNX Runtime's methods."""
        return self.value.removeprefix("tensorrt_") if self.value.startswith("tensorrt_") else ""


class TensorRt(Part):
    """How TensorRT plans are built (methods `tensorrt_...`)."""

    required: bool = False
    """Fail the run when a plan can't be built. Otherwise the report says why, and the other methods are tried."""
    quantizer: Literal["onnxruntime", "modelopt"] = "onnxruntime"
    """What makes `tensorrt_int8`: ONNX Runtime's entropy calibration, or NVIDIA ModelOpt (which always makes `tensorrt_fp8`)."""
    workspace: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*(MiB|GiB|MB|GB)$")] = "1GiB"
    """GPU memory that the builder may use for trying out tactics."""


class Optimize(Part):
    resources: Resources | None = None
    """GPUs that the tasks `optimize` and `verify` need, each for itself."""
    methods: tuple[OptimizeMethod, ...] = (OptimizeMethod.GRAPH, OptimizeMethod.INT8)
    """Forms to try; the fastest that passes parity is served, the plain ONNX export otherwise. `graph` and `int8` are ONNX Runtime's,
    the others TensorRT plans: they need a GPU here (`optimize.resources`) and where they are served (`serve.resources`)."""
    tensorrt: TensorRt = TensorRt()
    max_score_drop: Annotated[float, Field(ge=0)] = 0.01
    """The optimised model's score may be below the original's by this much."""
    min_speedup: Annotated[float, Field(ge=1)] = 1.0
    """A candidate must be this many times faster than the plain export to be kept."""
    golden_inputs: Annotated[int, Field(ge=1, le=1024)] = 32
    """Held-out rows whose answers are recorded and compared at every later stop."""


class ServeResources(Resources):
    """What a revision's server asks of the GPU pool; it holds it as long as it serves. `memory: auto` is estimated (backend vllm)."""

    preemptible: bool = False
    """May be told to stop for others: its callers get errors until there is room again (state PREEMPTED)."""


class Limits(Part):
    """What each step, or a server, may take of its machine (targets docker and kubernetes; a process takes what it gets)."""

    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*(MiB|GiB|TiB|MB|GB|TB)$")] | None = None
    """Memory: `8GiB`. A step that needs more is ended, and says so. Default: no limit."""
    cpus: Annotated[float, Field(ge=0.01, le=1024)] | None = None
    """Processors: 2.5 is two and a half. Default: no limit."""


class Serve(Part):
    resources: ServeResources | None = None
    """GPUs that the server needs. Deployment waits for them without a worker slot."""
    limits: Limits | None = None
    """What the server may take of its machine (targets docker and kubernetes)."""
    backend: Literal["triton"] = "triton"
    """Inference server of a revision."""
    wrapper: EntryPoint | None = None
    """Class in the model's folder that Triton calls around the model: `__init__(params)`, `before(inputs)`, `after(outputs)`."""
    params: Params = Field(default_factory=dict)
    """Parameters of the wrapper, each a field of the trigger form."""
    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 64
    """Largest batch a request or Triton's dynamic batching may form."""
    preferred_batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(max_length=8)] = ()
    """Batches that Triton forms where it can, rising, and for which a TensorRT plan is tuned. Default: the largest."""
    batch_delay_us: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    """How long a request may wait for others to join its batch (microseconds)."""
    instances: Annotated[int, Field(ge=1, le=16)] = 1
    """Copies of the model in the server."""
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """A revision that is not ready by then has failed (seconds)."""
    drain_s: Annotated[float, Field(ge=0, le=600)] = 5
    """A revision out of traffic may finish its requests for this long (seconds)."""
    request_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10
    """The gateway gives up on a request after this (seconds)."""
    standby_s: Annotated[float, Field(ge=0, le=30 * 24 * 3600)] = 0
    """The champion that is succeeded runs on without traffic for this long (seconds), so that a return to it takes no start of a server.
    It makes room when the next version is deployed."""


class OnInconclusive(StrEnum):
    ROLLBACK = "rollback"
    HOLD = "hold"
    PROMOTE = "promote"


class Canary(Part):
    steps: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=20)] = (10, 25, 50)
    """Percent of traffic of each step, rising."""
    step_s: Annotated[float, Field(gt=0, le=7 * 24 * 3600)] = 600
    """Length of a step (seconds; seed: ten minutes)."""
    look_s: Annotated[float, Field(gt=0, le=3600)] = 10
    """Time between two looks of the judge (seconds)."""
    mirror_s: Annotated[float, Field(ge=0, le=24 * 3600)] = 0
    """First send the canary a copy of the traffic for this long, without using its answers (seconds)."""
    min_requests: Annotated[int, Field(ge=1)] = 100
    """Canary requests without which it is never promoted."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Chance that a canary no worse than stable is rolled back, over the whole trial, however often one looks."""
    max_error_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Absolute limit on the canary's share of failed requests (seed: alert above 1 %)."""
    max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    """Absolute limit on the canary's 99th percentile latency (milliseconds)."""
    error_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Harm in error rate that is tolerated before a rollback (difference of shares)."""
    latency_margin: Annotated[float, Field(ge=0)] = 0.10
    """Harm in latency that is tolerated before a rollback (0.10: a tenth slower)."""
    error_tolerance: Annotated[float, Field(gt=0, le=1)] = 0.01
    """To promote, the upper bound of the harm in error rate must be under this (difference of shares)."""
    latency_tolerance: Annotated[float, Field(gt=0)] = 0.25
    """To promote, the upper bound of the harm in latency must be under this (0.25: a quarter slower)."""
    on_inconclusive: OnInconclusive = OnInconclusive.ROLLBACK
    """What too little evidence by the end leads to."""


class Spec(Part):
    """What the specs of all kinds have: `include/models/<name>/model.yaml`."""

    name: Annotated[str, Field(pattern=NAME)]
    """The model's name: its folder, its DAG, its registry entry and its path at the gateway."""
    description: str = ""
    """Shown in the Airflow UI."""
    owner: str = "updraft"
    """Shown in the Airflow UI."""
    tags: tuple[str, ...] = ()
    """Further tags of the DAG."""
    schedule: str | None = None
    """Cron expression or preset (`@daily`) on which the lifecycle runs. Default: only when triggered."""
    target: Literal["process", "docker", "kubernetes"] | None = None
    """Where steps run: a process of this machine, a container, a pod. Default: `$UPDRAFT_TARGET`, else `process`. Servers are processes of
    this machine whatever it says."""
    limits: Limits = Limits()
    gate: Gate = Gate()
    canary: Canary = Canary()

    def param_defaults(self, part: Literal["train", "serve"]) -> dict[str, Any]:
        """Name → default of the hyperparameters (`train`) or the wrapper's parameters (`serve`)."""
        params: Params = getattr(self, part).params
        return {name: param.default for name, param in params.items()}


class ModelSpec(Spec):
    """A model of a table's rows: a class or a number for each."""

    kind: Literal["table"] = "table"
    """What kind of model it is: `table`, or `llm` for a language model."""
    task: Literal[Task.CLASSIFICATION, Task.REGRESSION]
    """What the model predicts: a class or a number."""
    data: Data
    train: Train = Train()
    optimize: Optimize = Optimize()
    serve: Serve = Serve()
