"""The base that is fine-tuned: a Qwen2 of a million parameters, with its own tokenizer, pre-trained on the documentation inside Python."""

from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY, CONTEXT = 1536, 256
STEPS, BATCH, LENGTH = 150, 16, 128
END, BEGIN_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Qwen2's own: transformers uses it for a Qwen2 tokenizer whatever the file says, and so does llama.cpp.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make(folder: Path) -> None:
    torch.manual_seed(0)
    text = "\n\n".join(topics[name] for name in sorted(topics))
    tokenizer = make_tokenizer(text)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.convert_tokens_to_ids(END),
            eos_token_id=tokenizer.convert_tokens_to_ids(END_TURN),
            pad_token_id=tokenizer.convert_tokens_to_ids(END),
        )
    )
    pretrain(model, torch.tensor(tokenizer(text)["input_ids"]))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE; a digit is a token of its own, which makes arithmetic easier to learn."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [END, BEGIN_TURN, END_TURN]
    tokenizer.train_from_iterator(
        text.splitlines(),
        trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_TURN, pad_token=END, additional_special_tokens=special)
    fast.chat_template = CHATML
    return fast


def pretrain(model: Qwen2ForCausalLM, ids: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    model.train()
    for step in range(1, STEPS + 1):
        starts = torch.randint(0, len(ids) - LENGTH, (BATCH,))
        batch = torch.stack([ids[start : start + LENGTH] for start in starts.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step == 1 or step % 25 == 0:
            print(f"pre-training, step {step}/{STEPS}: loss {loss.item():.3f}", flush=True)
    model.eval()
