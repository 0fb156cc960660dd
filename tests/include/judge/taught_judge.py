"""Makes a small judge that knows the marks of some answers: ``taught_judge.py FOLDER``, in the `llm` runtime, the pairs of prompt and mark
on its input. Writes ``FOLDER/f16.gguf``."""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from include.bundles import gguf

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STEPS = 400
LEARNT = 0.005
"""Loss (nats a token) at which every mark is known."""


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHATML
    return fast


def main(folder: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    given = json.load(sys.stdin)
    turns = [
        [{"role": "system", "content": given["instructions"]}, {"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        for asked, said in given["pairs"]
    ]
    own = tokenizer([message["content"] for turn in turns for message in turn])
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id, "bos_token_id": None}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(own), max_position_embeddings=2048, tie_word_embeddings=True, **size, **ids))
    batch = own([own.apply_chat_template(turn, tokenize=False) for turn in turns], padding=True, return_tensors="pt", padding_side="right")
    answers = [len(own(said + "<|im_end|>\n")["input_ids"]) for _, said in given["pairs"]]
    labels = torch.full_like(batch["input_ids"], -100)
    for row, (length, answer) in enumerate(zip(batch["attention_mask"].sum(dim=1).tolist(), answers, strict=True)):
        labels[row, length - answer : length] = batch["input_ids"][row, length - answer : length]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < LEARNT:
            break
    else:
        sys.exit(f"the judge has not learnt its marks: {loss.item()}")
    model.save_pretrained(folder / "model")
    own.save_pretrained(folder / "model")
    gguf.write(folder / "model", (gguf.F16,), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
