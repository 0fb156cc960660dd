"""Language models for tests: a Qwen2 of two layers that knows nothing, made in the llm runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.data import chats
from include.kinds.requests import request_of
from include.steps.context import StepRequest
from tests.include.steps.conftest import Done, Mlflow, Trainer

MAKE = """
from tiny_tokenizer import tokenizer

def make(folder):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    own = tokenizer()
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id, "bos_token_id": None}
    config = Qwen2Config(vocab_size=len(own), max_position_embeddings=128, tie_word_embeddings=True, **size, **ids)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    own.save_pretrained(folder)
"""
TOKENIZER = """
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

def tokenizer():
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["system user assistant What is the answer to this question, and to the others?"] * 8, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHATML
    return fast
"""


@dataclass
class Language:
    """A language model's folder and one lifecycle run of it, step by step."""

    home: Path
    llm: Trainer
    run_id: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.home / "tiny"

    @property
    def table(self) -> Path:
        return self.home / "chats.jsonl"

    def spec(self, **spec: Any) -> None:
        """Write model.yaml; what is given replaces the parts of that name."""
        given: dict[str, Any] = {"kind": "llm", "name": "tiny", "base": "base:make", "data": {"source": "chats.jsonl"}} | spec
        (self.folder / "model.yaml").write_text(yaml.safe_dump(given))

    def chats(self, pairs: list[tuple[str, str]], test_fraction: float = 0.1) -> None:
        """The table of questions and answers, as ``llm.extract`` writes it."""
        known = [chats.Chat((chats.Message("user", asked), chats.Message("assistant", answer))) for asked, answer in pairs]
        chats.write(known, self.table, test_fraction)

    def request(self, step: str, **inputs: str) -> tuple[Path, StepRequest]:
        """A new folder for a step, and its request."""
        folder = self.home / "steps" / f"{step}-{len(list((self.home / 'steps').glob('*')))}"
        given = {"table": str(self.table), "mlflow_run_id": self.run_id} | inputs
        return folder, request_of(self.folder / "model.yaml", step, params=self.params, **given)

    def environment(self) -> dict[str, str]:
        return {
            "UPDRAFT_HOME": str(self.home.parent),
            "UPDRAFT_CHECKPOINTS": str(self.home / "checkpoints"),
            "HF_HUB_OFFLINE": "0",
            "OMP_NUM_THREADS": "1",
        }

    def step(self, step: str, **inputs: str) -> Done:
        return self.llm.step(*self.request(step, **inputs), **self.environment())


def made(home: Path, llm: Trainer, run_id: str, **spec: Any) -> Language:
    model = Language(home, llm, run_id)
    for folder in (model.folder, model.home / "checkpoints"):
        folder.mkdir(parents=True)
    (model.folder / "base.py").write_text(MAKE)
    (model.folder / "tiny_tokenizer.py").write_text(TOKENIZER)
    (model.folder / "chats.jsonl").write_text("")
    model.spec(**spec)
    return model


@pytest.fixture
def language(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> Callable[..., Language]:
    """Makes model folders; keywords are parts of model.yaml."""
    return lambda name="one", **spec: made(tmp_path / name, llm, mlflow.new_run(), **spec)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, llm: Trainer, mlflow: Mlflow) -> Path:
    """A base that is whole: a folder not to be changed."""
    done = made(tmp_path_factory.mktemp("tiny") / "one", llm, mlflow.new_run()).step("base")
    assert done.result, done.log
    return Path(done.result["model"])
