"""Chat templates and tokenizers: what a model would be trained on beside what llama.cpp makes of the same chats.

``python -m bench.formats.chats`` prints a table, and JSON as its last line: ``cases``, ``refused``, ``silently_wrong`` (taken, and the ids
of some chat differ from the server's) and ``unclear`` (refused without a cause or a remedy). Needs the runtime `llm`; takes some minutes.

The chats compared are none that the platform itself looks at: texts drawn by a seed from all over Unicode.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.runtime.settings import REPO, Settings

Row = dict[str, Any]
TURN = "{% for m in messages %}"
END = "{% endfor %}"
ASKED = "{% if add_generation_prompt %}"
CHATML = TURN + "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n" + END + ASKED + "<|im_start|>assistant\n{% endif %}"
LLAMA3 = (
    "{{ bos_token }}" + TURN + "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>" + END + ASKED
    + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)  # fmt: skip
CLOCK = "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}{% set day = '26 Jul 2024' %}{% endif %}"
USER, ANSWER, ELSE = "{% if m['role'] == 'user' %}", "{% elif m['role'] == 'assistant' %}", "{% else %}"
SAID, STOP = "{{ m['content'] }}", "{{ eos_token }}"
NO_ROLE = "{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}"
MISTRAL = f"{{{{ bos_token }}}}{TURN}{USER}[INST] {SAID} [/INST]{ANSWER} {SAID}{STOP}{ELSE}{NO_ROLE}{END}"
ZEPHYR = TURN + "<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n" + END + ASKED + "<|assistant|>\n{% endif %}"
PHI = TURN + "<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n" + END + ASKED + "<|assistant|>\n{% endif %}"
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURN
    + "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n" + END + ASKED
    + "<start_of_turn>model\n{% endif %}"
)  # fmt: skip
R1 = (
    TURN + "{% if m['role'] == 'assistant' %}<|Assistant|>{{ m['content'].split('</think>')[-1] }}" + STOP + ELSE + "<|User|>" + SAID
    + "{% endif %}" + END + ASKED + "<|Assistant|><think>\n{% endif %}"
)  # fmt: skip
R1_KEPT = R1.replace("<|Assistant|>{{ m['content'].split('</think>')[-1] }}", "<|Assistant|><think>\n{{ m['content'] }}")
QWEN3 = CHATML.replace(
    "{{ m['content'] }}", "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}"
)
VICUNA = f"{TURN}{USER}USER: {SAID}\n{ANSWER}ASSISTANT: {SAID}{STOP}\n{ELSE}{SAID}\n{{% endif %}}{END}{ASKED}"
NAMES = "{{ {'user': 'Instruction', 'assistant': 'Response', 'system': 'System'}[m['role']] }}"
ALPACA = f"{TURN}### {NAMES}:\n{SAID}" + "{{ eos_token if m['role'] == 'assistant' }}\n\n" + f"{END}{ASKED}### Response:\n{{% endif %}}"
PARTS = CHATML.replace(
    "{{ m['content'] }}",
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}",
)
DEFAULT_SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}" + CHATML

IM, EOT, S = "<|im_end|>", "<|eot_id|>", "</s>"
TEMPLATES: dict[str, tuple[Any, str]] = {
    "ChatML": (CHATML, IM),
    "ChatML, a default system message": (DEFAULT_SYSTEM, IM),
    "ChatML, content in parts": (PARTS, IM),
    "ChatML, the end on its own line": (CHATML.replace("<|im_end|>\n", "\n<|im_end|>\n"), IM),
    "ChatML, trimmed": (CHATML.replace("m['content']", "m['content'] | trim"), IM),
    "ChatML, another eos_token": (CHATML, "<|endoftext|>"),
    "ChatML without add_generation_prompt": (CHATML.partition(ASKED)[0], IM),
    "ChatML that always asks": (CHATML.replace(ASKED, "{% if true %}"), IM),
    "ChatML that says good-bye": (CHATML.replace("<|im_end|>\n" + END, "<|im_end|>\nBye\n" + END), IM),
    "ChatML in capitals": (CHATML.replace("m['content']", "m['content'] | upper"), IM),
    "ChatML, HTML escaped": (CHATML.replace("m['content']", "m['content'] | e"), IM),
    "named templates": ({"default": CHATML, "tool_use": CHATML}, IM),
    "named templates without default": ({"rag": CHATML, "tool_use": CHATML}, IM),
    "Llama 3": (LLAMA3, EOT),
    "Llama 3.2, with a clock": (CLOCK + LLAMA3.replace("{{ bos_token }}", "{{ bos_token }}Today Date: {{ day }}\n"), EOT),
    "a clock to the microsecond": ("{{ strftime_now('%s%f') }}" + CHATML, IM),
    "a clock out of reach": ("{% set f = '%d' %}{{ strftime_now(f) }}" + CHATML, IM),
    "Mistral": (MISTRAL, S),
    "Zephyr": (ZEPHYR, S),
    "Phi 3": (PHI, "<|end|>"),
    "Phi 3, another eos_token": (PHI, "<|endoftext|>"),
    "Gemma": (GEMMA, "<end_of_turn>"),
    "DeepSeek R1": (R1, S),
    "DeepSeek R1, thoughts kept": (R1_KEPT, S),
    "Qwen 3, empty thoughts": (QWEN3, IM),
    "Vicuna, a space at the end": (VICUNA + "ASSISTANT: {% endif %}", S),
    "Vicuna, no space at the end": (VICUNA + "ASSISTANT:{% endif %}", S),
    "no end": (VICUNA.replace("{{ eos_token }}", "") + "ASSISTANT: {% endif %}", S),
    "Alpaca": (ALPACA, S),
    "lots": ("{{ ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] | random }}" + CHATML, IM),
}
QWEN, LLAMA = "qwen2", "llama-bpe"
TOKENIZERS = (
    "qwen2, NFC",
    LLAMA,
    "gpt-2",
    "smollm",
    "lower case",
    "NFKC",
    "a regular expression of its own",
    "a space in front",
    "unigram",
    "words",
)
"""Each with ChatML; the templates are all tried with Qwen2's."""
OWN_MARKS = {"begins by itself": "<s> $A", "ends by itself": "$A </s>", "begins and ends by itself": "<s> $A </s>"}
"""Tokenizers that put marks around every text, each with ChatML and with a template that begins with one too."""
MARKS = (
    "<|endoftext|>", "<|im_start|>", IM, "<|start_header_id|>", "<|end_header_id|>", EOT, "<s>", S, "[INST]", "[/INST]", "<|user|>",
    "<|assistant|>", "<|system|>", "<|end|>", "<start_of_turn>", "<end_of_turn>", "<|User|>", "<|Assistant|>",
)  # fmt: skip
LETTERS = (
    "aeinorst AEIN 0123456789 .,;:!?'\"()[]{}<>|/\\@#$%&*-_=+~^ \t\n\r éßñçøåÅΩπЖдяшقعשלकखไม日本語中한글ㄱ"
    "🙂🧑\u200d💻🏳\ufe0f❤\u0301\u0308\u200b\u00a0\u2028\u3000ﬁ①½"
)


def rows() -> list[Row]:
    """A row a case: ``case``, ``outcome``, ``said`` (of a refusal), ``silently_wrong``, ``unclear``."""
    python = Settings.load().python("llm")
    command = [str(python), "-m", "bench.formats.chats", "--measure"]
    environment = os.environ | {"PYTHONPATH": str(REPO), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure() -> Iterator[Row]:
    """The rows, in the runtime `llm`."""
    with tempfile.TemporaryDirectory(prefix="formats-") as home:
        for number, case in enumerate(_cases()):
            yield _case(Path(home) / f"t{number}", *case)


def _cases() -> Iterator[tuple[str, Any, str, str]]:
    """Name, template, end and kind of tokenizer of every case."""
    yield from ((f"template: {name}", template, end, QWEN) for name, (template, end) in TEMPLATES.items())
    yield from ((f"tokenizer: {kind}", CHATML, IM, kind) for kind in TOKENIZERS)
    for kind in OWN_MARKS:
        yield from (
            (f"tokenizer: {kind}, {name}", template, end, kind)
            for name, template, end in (("ChatML", CHATML, IM), ("Llama 3", LLAMA3, EOT))
        )


def _case(folder: Path, name: str, template: Any, end: str, kind: str) -> Row:
    from include.backends.llamacpp.client import compare_base
    from include.bundles import gguf
    from include.bundles import template as templates
    from include.bundles import tokenizer as tokenizers
    from include.errors import InputError

    make(folder, template, end, kind)
    row: Row = {"case": name, "outcome": "taken", "said": "", "silently_wrong": 0, "unclear": 0}
    try:
        tokenizer = tokenizers.load(folder, normalises=False)
        gguf.check(folder, tokenizer)
        found = templates.check(tokenizer, f"base: {folder.name}")
        compare_base(folder, tokenizer, templates.probes(tokenizer, system=not found.no_system))
    except InputError as error:
        return row | {"outcome": "refused", "said": f"{error.what} {error.remedy}", "unclear": int(not (error.what and error.remedy))}
    except Exception as error:  # whatever else ends the step is no answer to its user
        return row | {"outcome": "refused", "said": repr(error), "unclear": 1}
    wrong = _differs(folder, tokenizer, system=not found.no_system)
    return row | {"silently_wrong": int(wrong is not None), "said": wrong or "; ".join(found.notes)}


def make(folder: Path, template: Any, end: str, kind: str) -> None:
    """A folder with a tokenizer of this kind, this template and a config: what the platform looks at before a training."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from include.bundles.gguf import _PRE

    byte_level = pre_tokenizers.ByteLevel(
        add_prefix_space=kind == "a space in front", use_regex=kind in ("gpt-2", "smollm", "a space in front")
    )
    patterns = {name: pattern for pattern, name in _PRE.items()}
    pattern = r"\s+|\w+|[^\w\s]+" if kind == "a regular expression of its own" else patterns.get(kind, patterns[QWEN])
    parts: list[Any] = [] if byte_level.use_regex else [pre_tokenizers.Split(Regex(pattern), behavior="isolated")]
    parts += [pre_tokenizers.Digits(individual_digits=True)] if kind == "smollm" else []
    made = Tokenizer(models.Unigram() if kind == "unigram" else models.WordPiece(unk_token="<s>") if kind == "words" else models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([*parts, byte_level])
    made.decoder = decoders.ByteLevel()
    normal = {"lower case": normalizers.Lowercase(), "NFKC": normalizers.NFKC(), "qwen2, NFC": normalizers.NFC()}.get(kind)
    if normal is not None:
        made.normalizer = normal
    of_kind = {"unigram": trainers.UnigramTrainer, "words": trainers.WordPieceTrainer}.get(kind, trainers.BpeTrainer)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ["system user assistant what is the answer to this question and to the others 12 345 6789 année straße привет"] * 8
    size = {"vocab_size": 420, "special_tokens": list(MARKS), "show_progress": False}
    made.train_from_iterator(words, of_kind(**size, initial_alphabet=alphabet))
    if kind in OWN_MARKS:
        marks = [(mark, made.token_to_id(mark)) for mark in ("<s>", S)]
        made.post_processor = processors.TemplateProcessing(single=OWN_MARKS[kind], special_tokens=marks)
    own = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, bos_token="<s>", pad_token="<|endoftext|>")
    own.chat_template = template
    own.save_pretrained(folder)
    architecture = "Qwen2" if kind == QWEN or kind == "qwen2, NFC" else "Llama"
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 8192}
    about = {"architectures": [f"{architecture}ForCausalLM"], "model_type": architecture.lower(), "vocab_size": made.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(about | shape | {"rms_norm_eps": 1e-6}))


def conversations(system: bool) -> list[list[dict[str, str]]]:
    """40 chats of one to five turns."""
    dice = random.Random(0)
    found = []
    for _ in range(40):
        turns = dice.choice((1, 1, 3))
        roles = [
            *(["system"] if system and dice.random() < 0.3 else []),
            *["user", "assistant"][:turns],
            *["user"] * (turns == 3),
            "assistant",
        ]
        found.append([{"role": role, "content": _text(dice)} for role in roles])
    return found


def _text(dice: random.Random) -> str:
    text = "".join(dice.choice(LETTERS) for _ in range(dice.randrange(3, 60)))
    text = dice.choice((str, lambda one: unicodedata.normalize("NFD", one), lambda one: one * 3))(text)
    return text.strip() or "empty"


def _differs(folder: Path, tokenizer: Any, *, system: bool) -> str | None:
    """Of the first chat whose ids in training are not the server's: what differs. As TRL prepares a prompt and its completion."""
    from include.backends.llamacpp import client
    from include.bundles import gguf
    from include.bundles import template as templates

    file = folder / "vocabulary.gguf"
    gguf.write_vocabulary(folder, tokenizer, file)
    with client.served(file, 8192, 1, 1) as server:
        for chat in conversations(system):
            if templates.misfit(tokenizer, chat):
                continue  # `extract` refuses this very chat, by its line
            asked = tokenizer.apply_chat_template(chat[:-1], add_generation_prompt=True, return_dict=False)
            learned = tokenizer.apply_chat_template(chat, return_dict=False)
            read = server.reading(chat[:-1])
            if read is None or read.tokens != list(asked):
                return f"the prompt of {chat[-2]['content']!r}"
            told = server._post("/v1/chat/completions", {"messages": chat[:-1], "max_tokens": 1})["usage"]["prompt_tokens"]
            if told != len(asked):
                return f"{told} tokens of a prompt are served, {len(asked)} were learned"
            if list(learned[: len(asked)]) != list(asked):
                return f"the prompt is no beginning of {chat[-1]['content']!r}"
            if tokenizer.eos_token_id not in learned[len(asked) :]:
                return "nothing ends the answer"
    return None


def main() -> None:
    found = rows()
    for row in found:
        print(f"{row['case']:<46} {row['outcome']:<8} {'WRONG ' if row['silently_wrong'] else ''}{row['said'][:150]}")
    counts = {name: sum(row[name] for row in found) for name in ("silently_wrong", "unclear")}
    print(json.dumps({"cases": len(found), "refused": sum(row["outcome"] == "refused" for row in found)} | counts))


if __name__ == "__main__":
    print(json.dumps(list(measure()))) if "--measure" in sys.argv else main()
