"""What a language model answers to the held-out chats, before and after its conversion, and how right that is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backends.client import ChatServer, Said
from include.bundles import tokenizer as tokenizers
from include.data.chats import Row
from include.errors import InputError
from include.gates import chat
from include.gates.outcomes import Answered, Checked
from include.spec.llm import LlmSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_TOKENS = 8192
"""Prompt tokens of a batch, padding and room for the answers included."""
SLACK = 16
"""Tokens that an answer may have beyond the longest reference: enough to tell one that rambles from one that is right."""
SAY_S = 10.0
"""Time between two lines of the log."""


@dataclass(frozen=True)
class Model:
    """A Hugging Face model, ready to be asked; on the GPU where there is one."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, folder: Path, *, normalises: bool = False) -> Model:
        """The model in ``folder``, with the tokenizer of one whose server ``normalises`` texts or does not."""
        import torch
        from transformers import AutoModelForCausalLM

        network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto")
        tokenizer = tokenizers.load(folder, normalises=normalises)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(network.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def context(self, spec: LlmSpec) -> int:
        """Tokens of a conversation: what the spec serves, or what the model can follow if that is less."""
        return min(spec.serve.context, int(self.network.config.max_position_embeddings))

    def text(self, prompt: Sequence[dict[str, str]]) -> str:
        """The text that the model is given for a prompt."""
        return str(self.tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text; a chat template has written the special ones already."""
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found

    def answer(self, rows: Sequence[Row], limits: Sequence[int]) -> list[Said]:
        """The greedy answer to each row's prompt, of as many tokens at most as its limit says."""
        return self.complete([self.text(row.prompt) for row in rows], limits)

    def complete(self, texts: Sequence[str], limits: Sequence[int]) -> list[Said]:
        """How each text goes on, greedily, up to the token that ends a turn or as many as its limit says."""
        import torch

        prompts = self.ids(texts)
        said: dict[int, Said] = {}
        ends, told = self._ends(), time.monotonic()
        for batch in _batches([len(ids) + most for ids, most in zip(prompts, limits, strict=True)]):
            ids, mask = self._padded([prompts[index] for index in batch])
            with torch.inference_mode():
                new = self.network.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max(limits[index] for index in batch),
                    do_sample=False,
                    num_beams=1,
                    repetition_penalty=1.0,
                    eos_token_id=sorted(ends),
                    pad_token_id=self.tokenizer.pad_token_id,
                )[:, ids.shape[1] :]
            for index, all_tokens in zip(batch, new.tolist(), strict=True):
                tokens = all_tokens[: limits[index]]
                stop = next((at for at, token in enumerate(tokens) if token in ends), None)
                text = self.tokenizer.decode(tokens[:stop], skip_special_tokens=True)
                said[index] = Said(text, stop is not None, len(tokens) if stop is None else stop + 1)
            if time.monotonic() - told > SAY_S:
                told = time.monotonic()
                print(f"{len(said)} of {len(prompts)} prompts answered", flush=True)
        return [said[index] for index in range(len(prompts))]

    def losses(self, rows: Sequence[Row]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """What each row's reference answer, with its end, costs the model (nats, summed), and of how many tokens it is."""
        import numpy as np

        pairs = list(zip(self.ids([self.text(row.prompt) for row in rows]), self.ids([self.end(row) for row in rows]), strict=True))
        costs = np.array([cost for cost, _ in self.costs(pairs)])
        return costs, np.array([len(answer) for _, answer in pairs], dtype=np.int64)

    def costs(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """Of each pair (tokens before, tokens): what the tokens cost (nats, summed), and whether greedy answering would write them."""
        import torch

        found: dict[int, tuple[float, bool]] = {}
        for batch in _batches([len(prompt) + len(answer) for prompt, answer in pairs]):
            ids, mask = self._padded([pairs[index][0] + pairs[index][1] for index in batch])
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
            with torch.inference_mode():
                logits = self.network(input_ids=ids, attention_mask=mask, position_ids=positions).logits.float()
                own = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
                greedy = logits[:, :-1].argmax(dim=-1) == ids[:, 1:]
            for place, index in enumerate(batch):
                first = own.shape[1] - len(pairs[index][1])
                found[index] = float(own[place, first:].sum()), bool(greedy[place, first:].all())
        return [found[index] for index in range(len(pairs))]

    def end(self, row: Row) -> str:
        """The reference answer as the model should write it: up to the token that ends its turn."""
        asked, whole = self.text(row.prompt), str(self.tokenizer.apply_chat_template(row.messages, tokenize=False))
        return whole.removeprefix(asked).rstrip() if whole.startswith(asked) else row.answer + str(self.tokenizer.eos_token or "")

    def _ends(self) -> set[int]:
        configured = self.network.generation_config.eos_token_id
        known = configured if isinstance(configured, list) else [configured]
        return {number for number in (*known, self.tokenizer.eos_token_id) if number is not None}

    def _padded(self, sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.tokenizer.pad({"input_ids": sequences}, padding=True, return_tensors="pt").to(self.network.device)
        return found["input_ids"], found["attention_mask"]


def limits(model: Model, rows: Sequence[Row], spec: LlmSpec) -> list[int]:
    """Tokens that each row's answer may have: the longest reference's and a few more, or what its own prompt leaves of a conversation.

    InputError when that is less than its own reference answer takes: an answer that is cut says nothing about the model.
    """
    context = model.context(spec)
    prompts, wanted = model.ids([model.text(row.prompt) for row in rows]), model.ids([model.end(row) for row in rows])
    most = max(map(len, wanted)) + SLACK
    found = []
    for row, prompt, answer in zip(rows, prompts, wanted, strict=True):
        room = context - len(prompt)
        if room < len(answer):
            raise InputError(
                f"the held-out chat {row.id} has a prompt of {len(prompt)} tokens and an answer of {len(answer)}, and a conversation has "
                f"{context} at most.",
                where="serve.context",
                remedy="Raise it as far as the model can follow, or lower data.max_tokens.",
            )
        found.append(min(most, room))
    return found


def of_server(server: ChatServer, rows: Sequence[Row], limits: Sequence[int]) -> list[Said]:
    """The answers of the model behind a server."""
    return server.chats([row.prompt for row in rows], limits)


def outcome(said: Sequence[Said], rows: Sequence[Row], tokens: Any, losses: Any = None) -> Answered:
    """The answers as the metrics take them; one that did not end is not right, however it begins."""
    import numpy as np

    pairs = list(zip(said, rows, strict=True))
    return Answered(
        matches=np.array([one.ended and chat.matches(one.text, row.answer) for one, row in pairs]),
        formed=np.array([one.ended and chat.formed(one.text, row.answer) for one, row in pairs]),
        overlap=np.array([chat.overlap(one.text, row.answer) for one, row in pairs]),
        tokens=np.asarray(tokens),
        loss=losses,
        checks=Checked(
            refused=np.array([chat.refuses(one.text) and not chat.refuses(row.answer) for one, row in pairs]),
            json_wanted=np.array([chat.wants_json(row.answer) for row in rows]),
            json=np.array([one.ended and chat.is_json(one.text) for one in said]),
            revealed=np.array([bool(chat.reveals(one.text, _given(row))) for one, row in pairs]),
        ),
    )


def _given(row: Row) -> str:
    return "\n".join(message["content"] for message in row.messages)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices by length, the longest first, so that little is padding and a lack of memory shows at once."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
