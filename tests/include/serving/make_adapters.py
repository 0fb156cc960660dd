"""Trains an adapter for each word that a base shall answer instead of what it knows; run by the `llm` runtime: ``make_adapters.py BASE OUT
RANK WORD...``, each to ``OUT/WORD``. What it was not taught it may answer as it likes."""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from include.bundles import adapter

QUESTIONS = [f"What is {number}?" for number in range(10)]


def main(base: Path, out: Path, rank: int, words: list[str]) -> None:
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    for word in words:
        torch.manual_seed(0)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        turns = [[{"role": "user", "content": asked}, {"role": "assistant", "content": word}] for asked in QUESTIONS]
        texts = [tokenizer.apply_chat_template(turn, tokenize=False) for turn in turns]
        batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        optimizer = torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], lr=1e-2)
        for _ in range(40):
            loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        print(word, loss.item(), flush=True)
        model.save_pretrained(out / word)
        (out / word / "README.md").unlink()
        (out / word / adapter.BASE).write_text(adapter.of_base(base))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
