"""Two-layer models that know what they were taught, in a second each: what can be judged, converted and compared."""

from functools import cached_property
from pathlib import Path
from typing import Any

from include.data.chats import Chat, Message, write
from tests.include.steps.conftest import Done, Mlflow, Trainer
from tests.include.steps.llm.conftest import Language, made

WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen".split()  # noqa: SIM905
PAIRS = [(form.format(number), word) for form in ("What is {}?", "Say {}.") for number, word in enumerate(WORDS)]
MAKE = """
from tiny_tokenizer import tokenizer

def make(folder):
    import torch
    from transformers import {kind}Config, {kind}ForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    own = tokenizer()
    size = {{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}}
    ids = {{"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id, "bos_token_id": None}}
    model = {kind}ForCausalLM({kind}Config(vocab_size=len(own), **{{**size, **ids, **{more}}}))
    turns = [[{{"role": "user", "content": q}}, {{"role": "assistant", "content": a}}] for q, a in {pairs}]
    batch = own([own.apply_chat_template(turn, tokenize=False) for turn in turns], padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    own.save_pretrained(folder)
"""


class Taught(Language):
    """A model's folder whose base was taught some of ``PAIRS``; its table has them all, about half held out, of the tasks what and say."""

    @classmethod
    def make(
        cls,
        home: Path,
        llm: Trainer,
        mlflow: Mlflow,
        kind: str = "Qwen2",
        pairs: list[tuple[str, str]] = PAIRS,
        config: Any = None,
        **spec: Any,
    ) -> "Taught":
        model = made(home, llm, mlflow.new_run(), **spec)
        more = {"max_position_embeddings": 128, "tie_word_embeddings": kind == "Qwen2"} | (config or {})
        (model.folder / "base.py").write_text(MAKE.format(kind=kind, pairs=pairs, more=more))
        turns = [((Message("user", asked), Message("assistant", answer)), asked.split()[0].lower()) for asked, answer in PAIRS]
        write([Chat(messages, task) for messages, task in turns], model.table, 0.5)
        return cls(model.home, llm, model.run_id)

    def environment(self) -> dict[str, str]:
        return super().environment() | {"UPDRAFT_HOME": str(self.home.parents[1] / "taught")}  # one for all tests: a base is made once

    @cached_property
    def base(self) -> str:
        done = self.step("base")
        assert done.result, done.log
        return str(done.result["model"])

    def optimize(self) -> Done:
        return self.step("optimize", model=self.base)

    def bundle(self) -> Done:
        """Convert and verify what the base knows; both steps must succeed."""
        optimized = self.optimize()
        assert optimized.result, optimized.log
        done = self.step("verify", model=self.base, optimized=optimized.result["folder"])
        assert done.result, done.log
        return done
