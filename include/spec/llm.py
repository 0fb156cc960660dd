"""The spec of a language model: `kind: llm`. It is trained on chats, judged by what it answers, and served with OpenAI's API."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from include.spec.choice import choice, serves
from include.spec.parts import NAME, Param, Params, Part, RelativeFile, Resources
from include.spec.schema import Canary, Gate, Monitor, Spec, Task, Workers
from include.spec.serve import LLM, ChatServe

HYPERPARAMETERS: dict[str, Param] = {
    "epochs": Param(default=3.0, minimum=0.01, maximum=1000, description="Passes over the chats."),
    "learning_rate": Param(default=2e-4, minimum=1e-8, maximum=1, description="Highest step size; it falls as a cosine."),
    "batch_size": Param(default=8, minimum=1, maximum=4096, description="Chats of a step."),
    "warmup_share": Param(default=0.03, minimum=0, maximum=1, description="Share of the steps in which the step size rises."),
    "weight_decay": Param(default=0.0, minimum=0, maximum=1, description="AdamW's weight decay."),
    "lora_rank": Param(default=16, minimum=1, maximum=1024, description="Rank of the adapters (method lora)."),
    "lora_alpha": Param(default=32, minimum=1, maximum=4096, description="Scale of the adapters (method lora)."),
    "distill_weight": Param(default=0.5, minimum=0, maximum=1, description="The teacher's share of the loss (method distill)."),
    "distill_temperature": Param(default=2.0, minimum=0.1, maximum=100, description="How soft the teacher's opinion is (method distill)."),
    "seed": Param(default=0, minimum=0, description="Seed of the order of the chats and of the adapters."),
}
"""What fine-tuning can be told, each a field of the trigger form; `train.params` changes defaults."""


def _with_defaults(given: Any) -> Any:
    """The hyperparameters with the spec's own defaults in their place."""
    if not isinstance(given, dict):
        return given
    merged: dict[str, Any] = {name: param.model_dump(exclude_unset=True) for name, param in HYPERPARAMETERS.items()}
    for name, value in given.items():
        own = value if isinstance(value, dict) else {"default": value}
        known = merged.get(name, {})
        default = own.get("default")
        if isinstance(known.get("default"), float) and isinstance(default, int) and not isinstance(default, bool):
            own = {**own, "default": float(default)}
        merged[name] = {**known, **own}
    return merged


class ChatData(Part):
    source: str
    """`module:function` in the model's folder that returns an iterable of chats, or the path of a JSON Lines file in it. A chat is
    `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "task": "..."}`; the last message is the
    assistant's, and what the model should answer; `task` (optional) names what is asked, for the scores by task."""
    format: Literal["messages", "openai", "sharegpt", "alpaca", "prompt_completion"] | None = None
    """The form of the chats: as above, OpenAI's fine-tuning files, ShareGPT (`conversations`), Alpaca (`instruction`, `input`, `output`),
    or `prompt` and `completion`. Default: what each chat looks like; what was converted is said in the log."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of the chats held out. Chats that ask the same are on one side, and stay there between snapshots."""
    max_tokens: Annotated[int, Field(ge=8, le=10_000_000)] = 2048
    """A longer chat fails the validation (tokens, by the base model's chat template)."""
    personal_data: bool = False
    """Chats may hold e-mail addresses, phone, card and identity numbers. Default: they fail the validation."""
    expectations: RelativeFile | None = None
    """Further expectations on the chats' profile (columns `split`, `task`, `question`, `answer`, `turns`, `tokens`, ...)."""


class Method(StrEnum):
    FULL = "full"
    LORA = "lora"
    DISTILL = "distill"


class LlmTrain(Workers):
    method: Method = Method.LORA
    """Train all parameters (`full`), or adapters that are merged into the base afterwards (`lora`), or all parameters towards what a
    larger model, the `teacher`, thinks of every next token (`distill`)."""
    teacher: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    """What `distill` learns from, named as `base` is. Teacher and base must cut texts into the same tokens."""
    runtime: Literal["llm"] = "llm"
    """Environment it runs in: `docker/<runtime>/requirements.txt`."""
    params: Annotated[Params, BeforeValidator(_with_defaults)] = Field(default_factory=dict, validate_default=True)
    """Hyperparameters, each a field of the trigger form: epochs, learning_rate, batch_size, warmup_share, weight_decay, lora_rank,
    lora_alpha, distill_weight, distill_temperature, seed. What is given here replaces their defaults."""
    checkpoint_steps: Annotated[int, Field(ge=1)] = 50
    """Steps between two checkpoints: a training that was stopped goes on from the last one."""
    timeout_minutes: Annotated[float, Field(gt=0, le=30 * 24 * 60)] = 24 * 60
    """Training that takes longer is stopped and fails. Time spent waiting for a GPU doesn't count."""
    resources: Resources | None = None
    """GPUs that training needs. It waits for them without a worker slot."""


class Judge(Part):
    """A language model that marks answers. Its marks count once they agree with people's on answers that people have marked."""

    connection: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """An Airflow connection of a `Pydantic AI` type. Prompts and answers are sent to where it points. Default: this platform's own gateway,
    so that nothing leaves the machine."""
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The model that judges: as the gateway names it, or, with `connection`, `provider:model`. Default: what the connection names."""
    rubric: RelativeFile = "rubric.md"
    """What makes an answer good or bad, as you would tell a person."""
    labels: RelativeFile = "labels.jsonl"
    """Answers that people have marked: chats whose last message is the answer, `{"messages": [...], "mark": "good"}`, one a line; marks are
    `good` and `bad`, or 1 to 5 (best). `"reference": "..."` (in every line or in none) is a right answer that the judge is shown; the
    held-out chats' own answers are then shown to it as well."""
    min_kappa: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """The judge counts when its agreement with `labels` (Cohen's kappa; of 1 to 5, with quadratic weights) is surely at least this: the
    lower bound of its interval. Else its marks are shown and count for nothing."""
    max_prompts: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Held-out prompts, always the same ones, whose answers it marks, this version's and the champion's."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """The mean mark (bad or 1: 0, good or 5: 1) may be below the champion's by this much before a significant difference fails the gate."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Tokens of a mark and its reason. A model that thinks first needs more."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Answers that are marked at once."""


class LlmEvaluate(Part):
    harness: tuple[RelativeFile, ...] = ()
    """Tasks of EleutherAI's lm-evaluation-harness: YAML files in the model's folder, as is their data (`dataset_path: json`). Their metrics
    stand beside the others as `<task>/<metric>`; `gate.bars` may name them."""
    judge: Judge | None = None
    """A language model that marks the answers as well. Default: none."""


class LlmGate(Gate):
    metric: str | None = None
    """The score. Default: `exact_match`. Higher is better."""
    slices: tuple[Literal["task"], ...] = ("task",)
    """The score is also given for each task; a task significantly worse than the champion's fails the gate."""


class Quantization(StrEnum):
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"
    AWQ = "awq"
    GPTQ = "gptq"
    W8A8 = "w8a8"


class LlmOptimize(Part):
    resources: Resources | None = None
    """GPUs that the tasks `optimize` and `verify` need, each for itself."""
    methods: tuple[Quantization, ...] | None = None
    """Quantisations to try; the fastest that passes is served, the 16-bit model otherwise. llama.cpp serves GGUF's `q8_0` and `q4_0`
    (default: both); vLLM `awq` and `gptq` (weights of 4 bits, one scale for 128 of them) and `w8a8` (weights and activations of 8 bits)
    (default: `awq`)."""
    calibration_chats: Annotated[int, Field(ge=1, le=65536)] = 256
    """Chats of the training side, drawn by the run's `seed`, that awq, gptq and w8a8 look at to choose their scales."""
    max_score_drop: Annotated[float, Field(ge=0)] = 0.01
    """The quantised model's score may be below the original's by this much."""
    min_speedup: Annotated[float, Field(gt=0)] = 1.0
    """A candidate must be this many times as fast as the 16-bit model to be kept; below 1 it may be slower, for the memory it saves."""
    golden_prompts: Annotated[int, Field(ge=1, le=256)] = 8
    """Held-out prompts whose answers are recorded and compared at deployment."""


class LoadTest(Part):
    """Real prompts at a rising rate, to a new revision that has no traffic yet."""

    rates: Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], Field(max_length=20)] = (1, 2, 4, 8)
    """Requests a second, rising; it ends with the first rate at which `serve.slo` is missed. Empty: no load test."""
    seconds: Annotated[float, Field(gt=0, le=600)] = 10
    """Length of each rate (seconds)."""
    min_rate: Annotated[float, Field(gt=0)] | None = None
    """The run fails unless `serve.slo` is kept at this rate. Default: the figures are recorded, and the canary decides."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the requests' times and order."""


class LlmCanary(Canary):
    """Besides what every trial is judged by. The limits' defaults are common alarm thresholds; null turns one off."""

    tpot_margin: Annotated[float, Field(ge=0)] = 0.10
    """Harm in the time of a token after the first that is tolerated before a rollback (0.10: a tenth slower); of streamed answers."""
    tpot_tolerance: Annotated[float, Field(gt=0)] = 0.25
    """To promote, the upper bound of that harm must be under this."""
    finish_margin: Annotated[float, Field(ge=0, le=1)] | None = 0.02
    """More answers cut off or empty that are tolerated before a rollback (difference of shares). Null: only reported."""
    finish_tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    """To promote, the upper bound of that difference must be under this."""
    length_margin: Annotated[float, Field(gt=0)] | None = 1.0
    """Drift of the answers' length that leads to a rollback, either way (1.0: twice as many tokens, or half as many)."""
    max_ttft_ms: Annotated[float, Field(gt=0)] | None = 1000
    """Absolute limit on the 95th percentile of the time to the first token of streamed answers (milliseconds)."""
    max_tpot_ms: Annotated[float, Field(gt=0)] | None = 100
    """Absolute limit on the 95th percentile of the time of a token of streamed answers (milliseconds)."""
    quality_margin: Annotated[float, Field(ge=0, lt=1)] | None = 0.05
    """Both arms are asked live prompts again. Fewer right answers that are tolerated before a rollback (difference of shares), among
    prompts whose right answer a snapshot knows. Null: not judged."""
    refusal_margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The same for answers that are no use: none, cut off, a refusal; among all prompts. Default: only reported."""
    agreement_margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the prompts that the arms may answer differently before a rollback. Default: only reported."""
    quality_prompts: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Live prompts that both arms are asked again during the trial, at most. 0: none, and none is recorded."""
    quality_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the live prompts that they are drawn from."""


class LlmMonitor(Monitor):
    embedder: Annotated[str, Field(pattern=NAME)] | None = None
    """A model of this platform whose server answers `/v1/embeddings`, by its name at the gateway: a look compares what questions and
    answers mean with the held-out chats (300 of either side), whose texts are then kept with the version. Default: not compared."""
    judged: Annotated[int, Field(ge=0, le=1000)] = 0
    """Live answers of a look that `evaluate.judge` marks, whose marks are compared with those of the held-out answers; they are sent to
    where it is. At least 20, and only of a judge that has shown that it agrees with people. 0: none."""


if TYPE_CHECKING:
    _Serve = ChatServe
else:
    _Serve = choice(LLM)


class LlmSpec(Spec):
    """A language model that answers chats."""

    kind: Literal["llm"]
    """What kind of model it is: `llm`."""
    base: Annotated[str, Field(min_length=1, max_length=400)]
    """What is fine-tuned: a folder with a Hugging Face model (absolute, or in the model's folder), `models:/<name>/<version>` of MLflow, a
    Hub id such as `Qwen/Qwen2.5-7B-Instruct`, or `module:function` in the model's folder, called with the folder to write it to."""
    data: ChatData
    train: LlmTrain = LlmTrain()
    evaluate: LlmEvaluate = LlmEvaluate()
    gate: LlmGate = LlmGate()
    optimize: LlmOptimize = LlmOptimize()
    serve: _Serve = Field(default_factory=serves(LLM)[0], validate_default=True)
    canary: LlmCanary = LlmCanary()
    load_test: LoadTest = LoadTest()
    monitor: LlmMonitor = LlmMonitor()

    @property
    def task(self) -> Task:
        """What the model does."""
        return Task.CHAT

    @property
    def more_metrics(self) -> bool:
        """Whether tasks of lm-evaluation-harness give metrics of their own."""
        return bool(self.evaluate.harness)

    @property
    def quantizations(self) -> tuple[Quantization, ...]:
        """What the model is quantised to."""
        usual = tuple(Quantization(method) for method in self.serve.methods)
        return usual if self.optimize.methods is None else self.optimize.methods
