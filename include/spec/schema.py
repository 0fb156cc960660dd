"""The model spec: all that Updraft knows about a model, with a default for everything but its name, task and data.

Every field's description is what a user reads in the JSON schema, in the editor and in the trigger form.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from include.spec.choice import choice, serves
from include.spec.data import Data
from include.spec.label import Label
from include.spec.parts import NAME, EntryPoint, Limits, Params, Part, Resources, as_tuple
from include.spec.search import Search
from include.spec.serve import TABLE, Serve

Percent = Annotated[int, Field(ge=1, le=99)]


PLACE = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:[1-9][0-9]{0,4}$"
"""A host and a port."""
ALERT = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
"""An alert's name, or a severity."""
ASSET = r"^([a-z][a-z0-9+.-]*://)?[A-Za-z0-9_][!-~]{0,999}$"
"""A name or a URI of an asset of Airflow's."""


class Task(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    MULTILABEL = "multilabel"
    CHAT = "chat"


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
    search: Search | None = None
    """Search for the best of some hyperparameters before the model is trained with them. Default: none; the run's own are taken."""
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
    better. Of tables and tensors also `module:function` in the model's folder: `def figures(rows, answers)` gets the held-out rows and what
    is answered (column `answer`, and `probability.<class>`) as DataFrames, and returns a number for each row; the score is their mean."""
    min_score: float = 0.85
    """The score must reach this."""
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


class OnInconclusive(StrEnum):
    ROLLBACK = "rollback"
    HOLD = "hold"
    PROMOTE = "promote"


class Canary(Part):
    steps: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=20)] = (10, 25, 50)
    """Percent of traffic of each step, rising."""
    step_s: Annotated[float, Field(gt=0, le=7 * 24 * 3600)] = 600
    """Length of a step (seconds)."""
    look_s: Annotated[float, Field(gt=0, le=3600)] = 10
    """Time between two looks of the judge (seconds)."""
    mirror_s: Annotated[float, Field(ge=0, le=24 * 3600)] = 0
    """First send the canary a copy of the traffic for this long, without using its answers (seconds)."""
    min_requests: Annotated[int, Field(ge=1)] = 100
    """Canary requests without which it is never promoted."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Chance that a canary no worse than stable is rolled back, over the whole trial, however often one looks."""
    max_error_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Absolute limit on the canary's share of failed requests."""
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


class LiveAnswers(Part):
    """Live requests that both arms of a trial answer, so that a version which answers at once and wrongly is found."""

    requests: Annotated[int, Field(ge=0, le=10_000)] = 1500
    """Live requests that both arms are asked during the trial, at most; one row of each is counted. 0: none, and none is recorded."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the live requests that they are drawn from."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Rows that the arms may answer differently, beyond what is known of the two versions from the held-out rows (difference of shares)."""


class TableCanary(Canary):
    """Besides what every trial is judged by."""

    answers: LiveAnswers = LiveAnswers()
    """How often the two versions differ on live rows, against the held-out rows."""


class WatchMode(StrEnum):
    OFF = "off"
    NOTIFY = "notify"
    ROLLBACK = "rollback"


class Act(StrEnum):
    NOTIFY = "notify"
    ROLLBACK = "rollback"
    RETRAIN = "retrain"
    SCALE = "scale"


class PredictionLog(Part):
    """What callers send and get, kept as Parquet (`python -m include.predictions read MODEL`). Off unless `share` is more than 0."""

    share: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of the requests that are kept, each with its answer: 1 keeps all. Copies for a canary are kept with their originals."""
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """... and no more of them than this in a minute, the first that come."""
    redact: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=240)], ...], Field(max_length=1000)] = ()
    """Inputs that are left out, by their names, before anything is written; outputs as `outputs.<name>`, callers' names as `key`."""
    hash: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=240)], ...], Field(max_length=1000)] = ()
    """The same, but kept as a keyed hash: equal values stay equal, and nobody without the platform's key finds them."""
    keep_days: Annotated[float, Field(gt=0, le=3650)] = 30
    """Rows older than this are dropped (days)."""
    keep_gib: Annotated[float, Field(gt=0, le=100_000)] = 1
    """... and the oldest of those that take more than this (GiB)."""


class Monitor(Part):
    """What becomes of a version after its promotion."""

    watch: WatchMode = WatchMode.OFF
    """Whether the champion's errors, times and refusals are judged on (on the gateway of this machine): `notify` keeps a verdict when they
    prove harm; `rollback` takes production back to the version before besides. Pausing the DAG `<model>_rollback` holds it."""
    cool_down_s: Annotated[float, Field(ge=0, le=30 * 24 * 3600)] = 3600
    """The watch, or an alert, takes production back no sooner than this after the time before (seconds)."""
    max_a_day: Annotated[int, Field(ge=1, le=100)] = 3
    """... and no more often than this in 24 hours."""
    schedule: str | None = "@hourly"
    """Cron expression or preset on which the DAG `<model>_monitoring` looks at what is logged; `null`: only when triggered."""
    margin: Annotated[float, Field(ge=0, le=1)] | None = None
    """Rise of the loss over that of the held-out rows that is no harm. Of classes: a difference of shares of wrong answers (default 0.02);
    of numbers: a part of the mean absolute error (default 0.1)."""
    labels: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    """A file of what turned out to be right (columns `id` and `label`: CSV, JSON lines, Parquet), in the model's folder or a data folder of
    `UPDRAFT_DATA`; each run of `<model>_monitoring` reads it, and keeps each label once. Default: feedback comes by REST alone."""
    on_alert: dict[Annotated[str, Field(pattern=ALERT)], Act] = Field(default_factory=dict)
    """What an alert about this model brings about, by its name or else its severity (`critical`, `warning`, `info`): `notify`; `rollback`
    to the version before; `retrain`, a new run of the lifecycle; `scale`, one server more, up to `serve.replicas.max`. `watch` and `drift`
    stand for verdicts that have found harm and were not acted on. `cool_down_s` and `max_a_day` hold for rollbacks, for retrainings and for
    scaling, each by itself; a person's hold stops all."""
    log: PredictionLog = PredictionLog()


class On(Part):
    """What starts the lifecycle besides its schedule: news of the data, which the model's own asset `updraft://<model>/data` stands for."""

    file: bool = False
    """The file of data has changed; where `data.source` is a function, any file of data in the model's folder; where the model learns from
    pictures (`data.images`), any file there but code."""
    webhook: bool = False
    """Somebody has told of news at `POST /lifecycle/v1/events`, signed with the secret of a connection `updraft_events_<sender>`."""
    assets: Annotated[tuple[Annotated[str, Field(pattern=ASSET)], ...], BeforeValidator(as_tuple), Field(max_length=100)] = ()
    """Assets of Airflow's, by name or URI, that other DAGs update: an update of any of them starts a run."""

    @property
    def anything(self) -> bool:
        """Whether anything besides the schedule starts the lifecycle."""
        return self.file or self.webhook or bool(self.assets)


class Spec(Part):
    """What the specs of all kinds have: `include/models/<name>/model.yaml`."""

    name: Annotated[str, Field(pattern=NAME)]
    """The model's name: its folder, its DAG, its registry entry and its path at the gateway."""
    description: str = ""
    """Shown in the Airflow UI."""
    owner: str = "updraft"
    """Shown in the Airflow UI."""
    team: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")] = "default"
    """Whose model it is: who of Airflow's users sees and runs it, by the setting `[gpu_pool] teams`. Without it everybody does."""
    tags: tuple[str, ...] = ()
    """Further tags of the DAG."""
    schedule: str | None = None
    """Cron expression or preset (`@daily`) on which the lifecycle runs. Default: only when triggered."""
    on: On = On()
    target: Literal["process", "docker", "kubernetes"] | None = None
    """Where steps and servers run: as a process of this machine, a container, a pod. Default: `$UPDRAFT_TARGET`, else `process`. Servers
    stay processes where a cluster's connection does not say how it has them."""
    network: tuple[Annotated[str, Field(pattern=PLACE)], ...] = ()
    """What the model's own code may reach beside MLflow, `host:port` each (a warehouse, a bucket): docs/user-code.md says how far each
    target holds it to that."""
    limits: Limits = Limits()
    gate: Gate = Gate()
    canary: Canary = Canary()
    monitor: Monitor = Monitor()

    @property
    def turns_at(self) -> float | None:
        """The probability from which on a row is given a label, of a model that gives it several; else None."""
        return None

    @model_validator(mode="after")
    def _team_of_its_gpus(self) -> Self:
        """A part that names no team asks for GPUs by the model's."""
        for part in (getattr(self, name, None) for name in ("train", "optimize", "evaluate", "serve")):
            resources = getattr(part, "resources", None)
            if resources is not None and "team" not in resources.model_fields_set:
                resources.__dict__["team"] = self.team  # frozen for everybody else, from here on
        return self

    if TYPE_CHECKING:  # every kind has these, each in a form of its own
        kind: Any
        data: Any
        train: Any
        evaluate: Any
        optimize: Any
        serve: Any
        load_test: Any
        label: Any

        @property
        def task(self) -> Task:
            """What the model does."""

    @property
    def more_metrics(self) -> bool:
        """Whether the evaluation gives metrics of the user's own tasks, `<task>/<metric>`."""
        return False

    def param_defaults(self, part: Literal["train", "serve"]) -> dict[str, Any]:
        """Name → default of the hyperparameters (`train`) or the wrapper's parameters (`serve`)."""
        params: Params = getattr(self, part).params
        return {name: param.default for name, param in params.items()}


if TYPE_CHECKING:
    _Serve = Serve
else:
    _Serve = choice(TABLE)


class ModelSpec(Spec):
    """A model of a table's rows: a class or a number for each."""

    kind: Literal["table"] = "table"
    """What kind of model it is: `table`, or `llm` for a language model."""
    task: Literal[Task.CLASSIFICATION, Task.REGRESSION]
    """What the model predicts: a class or a number."""
    data: Data
    label: Label | None = None
    """What people label of it in Label Studio (`make up LABELS=1`), by the DAG `<model>_labelling`. Default: nothing."""
    train: Train = Train()
    optimize: Optimize = Optimize()
    serve: _Serve = Field(default_factory=serves(TABLE)[0], validate_default=True)
    canary: TableCanary = TableCanary()
