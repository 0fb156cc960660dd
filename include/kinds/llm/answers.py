"""What a language model answers to the held-out chats, before and after its conversion, and how right that is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.backends.client import ChatServer, Said
from include.data.chats import Row
from include.errors import InputError
from include.gates import chat
from include.gates.metrics import Answered, Checked
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
    def load(cls, folder: Path) -> Model:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
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

    def answer(self, rows: Sequence[Row], max_tokens: int) -> list[Said]:
        """The greedy answer to each row's prompt, of ``max_tokens`` at most."""
        return self.complete([self.text(row.prompt) for row in rows], max_tokens)

    def complete(self, texts: Sequence[str], max_tokens: int) -> list[Said]:
        """How each text goes on, greedily, up to the token that ends a turn or ``max_tokens``."""
        import torch

        prompts = self.ids(texts)
        said: dict[int, Said] = {}
        ends, told = self._ends(), time.monotonic()
        for batch in _batches([len(ids) + max_tokens for ids in prompts]):
            ids, mask = self._padded([prompts[index] for index in batch])
            with torch.inference_mode():
                new = self.network.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    num_beams=1,
                    repetition_penalty=1.0,
                    eos_token_id=sorted(ends),
                    pad_token_id=self.tokenizer.pad_token_id,
                )[:, ids.shape[1] :]
            for index, tokens in zip(batch, new.tolist(), strict=True):
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


def limit(model: Model, rows: Sequence[Row], spec: LlmSpec) -> int:
    """Tokens that an answer may have. InputError when the prompts and the reference answers are longer than the conversations served."""
    context, prompts = model.context(spec), model.ids([model.text(row.prompt) for row in rows])
    longest = max(len(ids) for ids in model.ids([row.answer for row in rows])) + SLACK
    room = context - max(len(ids) for ids in prompts)
    if room < 1:
        raise InputError(
            f"a held-out prompt has {context - room} tokens, and a conversation {context} at most.",
            where="serve.context",
            remedy="Raise it as far as the model can follow, or lower data.max_tokens.",
        )
    return min(longest, room)


def of_server(server: ChatServer, rows: Sequence[Row], max_tokens: int) -> list[Said]:
    """The answers of the model behind a server."""
    return server.chats([row.prompt for row in rows], max_tokens)


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
