"""Step `llm.train`: fine-tunes the base on the chats that are not held out; the loss is that of the answers alone. Runtime `llm`.

Inputs: ``table``, ``base``, ``mlflow_run_id``; ``teacher`` with method distill. Writes ``model/`` (adapters merged) and, for a spec whose
``serve.adapters`` is set, ``adapter/`` (:mod:`include.bundles.adapter`); logs parameters, the model or the adapter, and by optimiser step
``loss``, ``learning_rate``, ``grad_norm``, ``tokens_per_s`` and ``peak_memory_mib``. Checkpoints go to ``$UPDRAFT_CHECKPOINTS``: started
again, the training goes on from the last whole one; told to stop, it writes one first.

Several workers (DistributedDataParallel) share each step's chats; rank 0 alone writes and logs, and checkpoints are of all of them.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backends.chat import chat_backend
from include.backends.registry import backend
from include.bundles import adapter
from include.bundles import tokenizer as tokenizers
from include.bundles.chat import ADAPTER
from include.data import chats
from include.errors import InputError
from include.kinds.llm import distill
from include.spec.llm import LlmSpec, Method
from include.steps.checkpoints import saved
from include.steps.context import StepContext
from include.steps.lease import Stopped
from include.steps.tracking import Point, Tracking, tracked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, TrainerCallback
    from trl import SFTConfig

FOLDER = "model"
LOGS = 200
"""Points of the loss's curve, at most about."""
SEND_S = 1.0
"""MLflow is told this often, not at every step: an answer of it may take longer than a step."""
STATE = "trainer_state.json"
"""Written last of a checkpoint's files."""


def run(ctx: StepContext) -> dict[str, Any]:
    """``model`` (folder), ``model_uri``, ``metrics`` (``Progress.summary``), ``seconds``, ``tokens_per_s``, ``rows``, ``held_out``; with
    ``serve.adapters`` also ``adapter`` (folder), and that is what ``model_uri`` is of."""
    spec = ctx.spec(LlmSpec)
    rows = chats.table(ctx.input("table"))
    train = [{"prompt": row.prompt, "completion": row.messages[-1:]} for row in rows if row.split == "train"]
    params = spec.param_defaults("train")
    params |= {name: value for name, value in ctx.params.items() if name in params}
    checkpoints = Path(os.environ["UPDRAFT_CHECKPOINTS"])
    workers = ctx.request.workers
    if int(params["batch_size"]) % workers:
        raise InputError(
            f"{workers} workers can't share a step of {params['batch_size']} chats evenly.",
            where="batch_size",
            remedy=f"Give a multiple of {workers} (model.yaml: train.workers).",
        )
    print(f"Fine-tuning {spec.name} ({spec.train.method}) on {len(train)} chats; {len(rows) - len(train)} are held out.", flush=True)
    with tracked(ctx) as tracking:
        if ctx.rank == 0:
            tracking.params(params | {"method": spec.train.method, "rows": len(train), "held_out_rows": len(rows) - len(train)})
        progress = Progress(tracking if ctx.rank == 0 else None)
        started = time.monotonic()
        teacher = ctx.input("teacher") if spec.train.method is Method.DISTILL else None
        history = _fine_tune(ctx.input("base"), teacher, train, spec, params, checkpoints, progress, ctx.out / FOLDER, workers)
        if ctx.rank:
            return {}
        seconds = time.monotonic() - started
        metrics = progress.summary(history)
        tracking.metrics({"loss": metrics["loss"], "seconds": seconds, "tokens_per_s": metrics["tokens_per_s"]}, prefix="train/")
        kept = ADAPTER if spec.serve.as_adapter else FOLDER
        tracking.artifact(ctx.out / kept, kept)
        uri = f"{tracking.client.get_run(tracking.run_id).info.artifact_uri}/{kept}"
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {
        "model": str(ctx.out / FOLDER),
        "model_uri": uri,
        "metrics": metrics,
        "seconds": seconds,
        "tokens_per_s": metrics["tokens_per_s"],
        "rows": len(train),
        "held_out": len(rows) - len(train),
    } | ({"adapter": str(ctx.out / ADAPTER)} if spec.serve.as_adapter else {})


def _fine_tune(
    base: Path,
    teacher: Path | None,
    train: list[dict[str, Any]],
    spec: LlmSpec,
    params: Mapping[str, Any],
    checkpoints: Path,
    progress: Progress,
    out: Path,
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Writes the model to ``out``, of several workers as the first alone; returns the trainer's log, from the first step on."""
    import torch
    from datasets import Dataset
    from transformers import AutoConfig, AutoModelForCausalLM, PrinterCallback, set_seed
    from trl import SFTTrainer

    set_seed(int(params["seed"]))
    tokenizer = tokenizers.load(base, normalises=chat_backend(backend(spec.serve.backend)).normalises(spec.serve))
    stored = AutoConfig.from_pretrained(base, local_files_only=True).dtype or torch.float32
    cuda = torch.cuda.is_available()
    # Beside adapters a GPU holds the base as it is stored; what is trained itself needs 32 bits, or small steps round to nothing.
    held = stored if cuda and spec.train.method is Method.LORA else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=held)
    steps = math.ceil(math.ceil(len(train) / int(params["batch_size"])) * float(params["epochs"]))
    make = distill.trainer(teacher, float(params["distill_weight"]), float(params["distill_temperature"])) if teacher else SFTTrainer
    trainer = make(
        model=model,
        args=_arguments(spec, params, checkpoints, steps, tokenizer, workers, cuda=cuda),
        train_dataset=Dataset.from_list(train),
        processing_class=tokenizer,
        peft_config=_adapters(params) if spec.train.method is Method.LORA else None,
        callbacks=[progress.callback()],
    )
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    if last is not None:
        print(f"Going on from {last.name} of {steps} steps.", flush=True)
    with progress.stoppable():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if not trainer.is_world_process_zero():
        return []
    if spec.serve.as_adapter:
        _keep_adapter(trainer.model, base, out.with_name(ADAPTER))
    trained = trainer.model.merge_and_unload() if spec.train.method is Method.LORA else trainer.model
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()  # save_pretrained() is silent when it has nowhere to write to
    trained.to(stored).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return list(trainer.state.log_history)


def _keep_adapter(model: Any, base: Path, out: Path) -> None:
    """The adapter alone, and which base it is of."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    model.save_pretrained(out)
    for path in out.iterdir():
        if path.name not in adapter.FILES:
            path.unlink()  # PEFT's page about the model
    (out / adapter.BASE).write_text(adapter.of_base(base))


def _arguments(
    spec: LlmSpec, params: Mapping[str, Any], checkpoints: Path, steps: int, tokenizer: PreTrainedTokenizerBase, workers: int, *, cuda: bool
) -> SFTConfig:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=int(params["batch_size"]) // workers,
        learning_rate=float(params["learning_rate"]),
        lr_scheduler_type="cosine",
        warmup_steps=round(float(params["warmup_share"]) * steps),
        weight_decay=float(params["weight_decay"]),
        seed=int(params["seed"]),
        max_length=spec.data.max_tokens,
        completion_only_loss=True,
        eos_token=tokenizer.eos_token,
        logging_steps=max(1, steps // LOGS),
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_steps=spec.train.checkpoint_steps,
        save_total_limit=2,  # one whole, should the other's writing be cut short
        bf16=cuda,
        gradient_checkpointing=cuda,
        use_cpu=not cuda,
        ddp_backend=None if cuda or workers == 1 else "gloo",
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
    )


def _adapters(params: Mapping[str, Any]) -> Any:
    from peft import LoraConfig

    rank, alpha = int(params["lora_rank"]), int(params["lora_alpha"])
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint; one whose writing was cut short is deleted."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            found.append((int(json.loads((path / STATE).read_text())["global_step"]), path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


class Progress:
    """What the training says of itself: to MLflow, to the log, and to whoever asks at its end."""

    def __init__(self, tracking: Tracking | None) -> None:
        """Without ``tracking`` (of a worker that is not the first) MLflow and the log are told nothing."""
        self._tracking = tracking
        self._points: list[Point] = []
        self._sent = -math.inf
        self._speeds: list[float] = []
        self._seen = (0.0, time.monotonic())
        self._stop = False

    def summary(self, history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Of the trainer's log, which a checkpoint holds as well: ``loss`` (mean of its last tenth); and of this process: ``tokens_per_s``
        (median; 0 when there was nothing left to do) and ``peak_memory_mib``."""
        losses = [float(entry["loss"]) for entry in history if "loss" in entry]
        last = losses[-max(1, len(losses) // 10) :]
        speeds = sorted(self._speeds) or [0.0]
        return {"loss": sum(last) / len(last), "tokens_per_s": speeds[len(speeds) // 2], "peak_memory_mib": peak_memory_mib()}

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGTERM ends the training after the step under way, with a checkpoint; then Stopped is raised."""

        def ask(*_: Any) -> None:
            print("Told to stop: the training is put away.", flush=True)
            self._stop = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
        if self._stop:
            raise Stopped(128 + signal.SIGTERM)

    def stops(self) -> bool:
        """Whether the training ends here: all workers after the same step, though SIGTERM reaches each at a time of its own."""
        import torch
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            told = torch.tensor(int(self._stop), device="cuda" if torch.cuda.is_available() else "cpu")
            distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
            self._stop = bool(told.item())
        return self._stop

    def callback(self) -> TrainerCallback:
        from transformers import TrainerCallback

        progress = self

        class Callback(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if progress.stops():
                    control.should_save = control.should_training_stop = True

            def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    progress.log(state.global_step, state.max_steps, logs)

            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                progress.send()
                if progress.leads:
                    saved()

            def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                progress.send()

        return Callback()

    @property
    def leads(self) -> bool:
        """Whether this worker speaks for all."""
        return self._tracking is not None

    def log(self, step: int, steps: int, logs: Mapping[str, Any]) -> None:
        """One entry of the trainer's log. InputError when the loss is no number any more."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            # The first loss is that of the weights as they came.
            where, remedy = ("base", "Its weights are broken: fetch or make it again.") if step == 1 else ("learning_rate", "Lower it.")
            raise InputError(f"the loss is {loss} at step {step}.", where=where, remedy=remedy)
        if self._tracking is None:
            return
        tokens, now = float(logs.get("num_tokens", 0.0)), time.monotonic()
        speed = (tokens - self._seen[0]) / max(now - self._seen[1], 1e-9) if self._seen[0] else None
        self._seen = (tokens, now)
        if speed is not None and speed > 0:
            self._speeds.append(speed)
        figures = {"loss": loss, "learning_rate": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm")}
        self._points.append(Point(step, time.time(), {**figures, "tokens_per_s": speed, "peak_memory_mib": peak_memory_mib()}))
        if now - self._sent >= SEND_S:
            self.send()
        print(f"step {step}/{steps}: loss {loss:.4f}" + (f", {speed:,.0f} tokens/s" if speed else ""), flush=True)

    def send(self) -> None:
        """Give MLflow what it has not seen yet."""
        if self._tracking is not None:
            self._tracking.points(self._points)
        self._points, self._sent = [], time.monotonic()


def peak_memory_mib() -> float:
    """Of the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved()) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
