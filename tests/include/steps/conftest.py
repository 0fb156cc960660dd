"""A real MLflow server and the runtimes of the steps, shared by the tests of the step bodies."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from include.kinds.requests import request_of
from include.runtime.settings import REPO, Settings
from include.steps.context import StepRequest
from tests.mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


TABLE_MODULES = ("mlflow.onnx", "mlflow.sklearn", "onnxruntime.quantization", "pandas", "skl2onnx", "skops.io", "sklearn.ensemble")
LLM_MODULES = ("mlflow", "pandas", "torch", "transformers", "transformers.models.qwen2", "peft", "trl", "datasets", "gguf")


TORCH_MODULES = ("mlflow.onnx", "pandas", "torch.onnx", "onnxscript", "onnxruntime", "PIL.Image")
QUANTISE_MODULES = ("torch", "transformers", "transformers.models.qwen2", "llmcompressor", "llmcompressor.modifiers.quantization")


class Mlflow:
    """Enough of the server's REST API to look at what a step wrote."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/api/2.0/mlflow/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def new_run(self) -> str:
        return self.call("runs/create", experiment_id="0", start_time=1)["run"]["info"]["run_id"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.get(f"runs/get?run_id={run_id}")["run"]

    def params(self, run_id: str) -> dict[str, str]:
        return {entry["key"]: entry["value"] for entry in self.run(run_id)["data"].get("params", [])}

    def tags(self, run_id: str) -> dict[str, str]:
        return {entry["key"]: entry["value"] for entry in self.run(run_id)["data"].get("tags", [])}

    def metrics(self, run_id: str) -> dict[str, float]:
        return {entry["key"]: entry["value"] for entry in self.run(run_id)["data"].get("metrics", [])}

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Step and value of every point."""
        found = self.get(f"metrics/get-history?run_id={run_id}&metric_key={metric}").get("metrics", [])
        return [(int(point.get("step", 0)), float(point["value"])) for point in found]

    def artifacts(self, run_id: str, folder: str = "") -> list[str]:
        return [entry["path"] for entry in self.get(f"artifacts/list?run_id={run_id}&path={folder}").get("files", [])]

    def models(self, run_id: str) -> list[str]:
        found = self.call("logged-models/search", experiment_ids=["0"], filter=f"source_run_id = '{run_id}'").get("models", [])
        return sorted(model["info"]["name"] for model in found)


@pytest.fixture(scope="session")
def mlflow(mlflow_url: str) -> Mlflow:
    return Mlflow(mlflow_url)


@dataclass(frozen=True)
class Done:
    """A finished step: ``result`` or ``error``, what it printed, what it wrote."""

    result: dict[str, Any]
    error: dict[str, str]
    log: str
    out: Path

    @property
    def message(self) -> str:
        return " ".join(self.error.get(part, "") for part in ("where", "what", "remedy"))


class Trainer:
    """A runtime: runs step bodies through ``include.steps.__main__``."""

    def __init__(self, url: str, runtime: str = "trainer", modules: Sequence[str] = TABLE_MODULES) -> None:
        self.url = url
        self._sent = 0
        self._host = subprocess.Popen(
            [str(Settings.load().python(runtime)), "-m", "tests.include.steps.step_host", *modules],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert self._host.stdout is not None and "ready\n" in self._host.stdout  # behind what libraries say as they are imported

    def step(self, folder: Path, request: StepRequest, **environment: str) -> Done:
        folder.mkdir(parents=True)
        request.save(folder)
        return self.again(folder, **environment)

    def again(self, folder: Path, **environment: str) -> Done:
        code = self.answer(self.send(folder, {"MLFLOW_TRACKING_URI": self.url} | environment))
        log = (folder / "log.txt").read_text()
        result, error = (
            json.loads((folder / name).read_text()) if (folder / name).exists() else {} for name in ("result.json", "error.json")
        )
        assert code == ("0" if result and not error else "1"), log
        return Done(result, error, log, folder / "out")

    def send(self, folder: Path, environment: Mapping[str, str]) -> int:
        """Have the step in ``folder`` run; return the number of its answer."""
        assert self._host.stdin is not None
        self._sent += 1
        variables = (f"{name}={value}" for name, value in environment.items())
        self._host.stdin.write("\t".join([str(self._sent), str(folder), *variables]) + "\n")
        self._host.stdin.flush()
        return self._sent

    def answer(self, number: int) -> str:
        """Return the exit code of a step that was sent. Answers to earlier ones, whose tests timed out, are passed over."""
        assert self._host.stdout is not None
        for line in self._host.stdout:
            found, _, code = line.strip().partition(" ")
            if found == str(number):
                return code
        raise AssertionError(f"the host of the steps has ended with {self._host.wait()}")

    def close(self) -> None:
        assert self._host.stdin is not None
        self._host.stdin.close()
        self._host.wait(timeout=30)


@pytest.fixture(scope="session")
def trainer(mlflow_url: str) -> Iterator[Trainer]:
    host = Trainer(mlflow_url)
    yield host
    host.close()


@pytest.fixture(scope="session")
def llm(mlflow_url: str) -> Iterator[Trainer]:
    """The runtime of language models; it is installed on demand only."""
    if not Settings.load().python("llm").exists():
        pytest.skip("runtime llm is not installed: make install-llm")
    host = Trainer(mlflow_url, "llm", LLM_MODULES)
    yield host
    host.close()


@pytest.fixture(scope="session")
def torch(mlflow_url: str) -> Iterator[Trainer]:
    """The runtime of PyTorch's modules; it is installed on demand only."""
    if not Settings.load().python("torch").exists():
        pytest.skip("runtime torch is not installed: make install-torch")
    host = Trainer(mlflow_url, "torch", TORCH_MODULES)
    yield host
    host.close()


@pytest.fixture(scope="session")
def quantise(mlflow_url: str) -> Iterator[Trainer]:
    """The runtime of llm-compressor."""
    if not Settings.load().python("quantise").exists():
        pytest.skip("runtime quantise is not installed: make install-quantise")
    host = Trainer(mlflow_url, "quantise", QUANTISE_MODULES)
    yield host
    host.close()


@dataclass
class Model:
    """A model's folder and one lifecycle run of it, step by step."""

    home: Path
    trainer: Trainer
    run_id: str
    params: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> Path:
        return self.home / "table.parquet"

    def step(self, name: str, **inputs: str) -> Done:
        folder = self.home / "steps" / f"{name}-{len(list((self.home / 'steps').glob('*')))}"
        given = {"table": str(self.table), "mlflow_run_id": self.run_id} | inputs
        request = request_of(self.home / "thing" / "model.yaml", name, params=self.params, **given)
        return self.trainer.step(folder, request, **self.environment)

    def train(self) -> Done:
        return self.step("train")

    def evaluate(self, trained: Done, **inputs: str) -> Done:
        return self.step("evaluate", model=trained.result["model"], **inputs)

    def optimize(self, trained: Done) -> Done:
        return self.step("optimize", model=trained.result["model"])

    def verify(self, trained: Done, optimized: Done) -> Done:
        return self.step("verify", model=trained.result["model"], optimized=optimized.result["folder"])

    def bundle(self) -> Done:
        """Train, optimise and verify; every step must succeed."""
        trained = self.train()
        assert trained.result, trained.message
        optimized = self.optimize(trained)
        assert optimized.result, optimized.message
        return self.verify(trained, optimized)


class Workshop:
    """Makes model folders."""

    def __init__(self, home: Path, trainer: Trainer, mlflow: Mlflow) -> None:
        self._home, self._trainer, self._mlflow, self._made = home, trainer, mlflow, 0

    def model(self, code: str, table: pd.DataFrame, task: str = "classification", target: str = "y", **spec: Any) -> Model:
        self._made += 1
        home = self._home / f"model-{self._made}"
        folder = home / "thing"
        folder.mkdir(parents=True)
        (folder / "train.py").write_text(textwrap.dedent(code))
        (folder / "expectations.yaml").write_text("expectations: []\n")
        (folder / "table.parquet").write_bytes(b"")
        data = {"source": "table.parquet", "target": target} | spec.pop("data", {})
        (folder / "model.yaml").write_text(yaml.safe_dump({"name": "thing", "task": task, "data": data} | spec))
        model = Model(home, self._trainer, self._mlflow.new_run())
        table.to_parquet(model.table)
        return model


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, trainer: Trainer, mlflow: Mlflow) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("models"), trainer, mlflow)
