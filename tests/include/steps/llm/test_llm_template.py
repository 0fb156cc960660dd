"""Chat templates and tokenizers: what would be learned otherwise than it is served is refused before anything is trained."""

import json
import os
import subprocess
from typing import Any

import pytest

from include.runtime.settings import REPO, Settings
from tests.include.steps.llm.conftest import TOKENIZER

PYTHON = Settings.load().python("llm")
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the llm runtime is not installed")

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
THINKS = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n{{ m['content'].split('</think>')[-1] }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ 'USER: ' if m['role']=='user' else ('ASSISTANT: ' if m['role']=='assistant' else '') }}{{ m['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role']=='system' %}{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}"
    + CHATML
    + ASK
)
DROPS_SYSTEM = CHATML.replace("messages %}", "messages if m['role'] != 'system' %}", 1) + ASK
GOOD = CHATML + ASK
CLOCK = (
    "{% if strftime_now is defined %}{% set d = strftime_now('%d %b %Y') %}{% else %}{% set d = 'no day' %}{% endif %}Today: {{ d }}\n"
    + GOOD
)
NAMED = {"default": GOOD, "tool_use": "{{ tools }}" + GOOD}

CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    # name: template, more of the tokenizer's config, what is said ("" when it is taken)
    "good": (GOOD, {}, ""),
    "named": (NAMED, {}, ""),
    "clock": (CLOCK, {}, ""),
    "thinks and keeps it": (
        THINKS.replace(".split('</think>')[-1]", "").replace("assistant\n{{", "assistant\n<think>\n\n</think>\n{{"),
        {},
        "",
    ),
    "no system": (NO_SYSTEM, {}, ""),
    "unnamed": ({"a": GOOD, "b": GOOD}, {}, "none is called default"),
    "thinks": (THINKS, {}, "does not begin with the prompt that is served"),
    "no end": (PLAIN, {}, "no token ends an answer"),
    "other end": (GOOD, {"eos_token": "<|endoftext|>"}, "ends an answer with '<|im_end|>', but evaluation and server stop at"),
    "ignores": (CHATML, {}, "ignores add_generation_prompt: '<|im_start|>assistant\\n'"),
    "always asks": (CHATML + "<|im_start|>assistant\n", {}, "goes on behind the answer's end"),
    "goes on": (GOOD.replace("<|im_end|>\n", "<|im_end|>\nBye."), {}, "does not begin with the prompt|goes on behind the answer's end"),
    "melts": (
        PLAIN.replace("{{ m['content'] }}\n", "{{ m['content'] }}{{ '<|im_end|>' if m['role']=='assistant' }}\n"),
        {},
        "melts into the prompt",
    ),
    "drops the answer": (
        GOOD.replace("{{ m['content'] }}", "{{ m['content'] if m['role'] != 'assistant' }}"),
        {},
        "leaves out or changes the answer",
    ),
    "shouts": (GOOD.replace("m['content']", "m['content'] | upper"), {}, "leaves out or changes messages[0] (user)"),
    "draws lots": ("{{ [1, 2, 3, 4, 5, 6, 7, 8, 9] | random }}" + GOOD, {}, "another text each time|does not begin with the prompt"),
    "clock by name": ("{% set f = strftime_now %}{{ f('%d') }}" + GOOD, {}, "asks for the time in a way that can't be stopped"),
    "raises": ("{{ raise_exception('Never') }}", {}, "is refused by the base model's chat template: Never"),
}
PROGRAM = """
import json, sys
from pathlib import Path
from include.errors import InputError
from include.bundles import template, tokenizer as tokenizers

home = Path(sys.argv[1])
sys.path.insert(0, str(home))
from tiny_tokenizer import tokenizer
found = {}
for name, (text, config, _) in json.loads((home / "cases.json").read_text()).items():
    folder = home / name.replace(" ", "_")
    own = tokenizer()
    own.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    own.chat_template = text
    own.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    try:
        loaded = tokenizers.load(folder, normalises=False)
        checked = template.check(loaded, "base")
        day = template.render(loaded, [{"role": "user", "content": "x"}], asked=True)
        texts = ["Cafe\\u0301"], ["Caf\\u00e9"]
        apart = loaded(*texts[0])["input_ids"] != loaded(*texts[1])["input_ids"]
        found[name] = {"notes": checked.notes, "no_system": checked.no_system, "text": day, "apart": apart}
    except InputError as error:
        found[name] = {"error": str(error)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All cases in one process: importing transformers takes longer than they do."""
    home = tmp_path_factory.mktemp("templates")
    (home / "cases.json").write_text(json.dumps(CASES))
    (home / "tiny_tokenizer.py").write_text(TOKENIZER)
    command = [str(PYTHON), "-c", PROGRAM, str(home)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("name", CASES)
def test_a_template_is_taken_or_refused_with_the_cause(found: dict[str, dict[str, Any]], name: str) -> None:
    expected, error = CASES[name][2], found[name].get("error", "")
    assert any(part in error for part in expected.split("|")) if expected else not error, error


def test_of_several_templates_the_default_is_written(found: dict[str, dict[str, Any]]) -> None:
    assert found["named"]["text"] == found["good"]["text"] == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"


def test_a_clock_is_stopped(found: dict[str, dict[str, Any]]) -> None:
    assert found["clock"]["text"].startswith("Today: 26 Jul 2024\n")


def test_a_template_without_system_messages_is_known_as_such(found: dict[str, dict[str, Any]]) -> None:
    assert "System role not supported" in found["no system"]["no_system"] and not found["good"]["no_system"]
    assert any("system message would be refused" in note for note in found["no system"]["notes"])


def test_decomposed_letters_stay_decomposed_for_a_server_that_does_not_compose_them(found: dict[str, dict[str, Any]]) -> None:
    assert found["good"]["apart"]


def test_what_the_template_says_before_an_answer_is_noted(found: dict[str, dict[str, Any]]) -> None:
    assert any("before each answer" in note for note in found["thinks and keeps it"]["notes"])
