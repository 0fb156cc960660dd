"""A bundle for vLLM: a model of two layers that was taught a few words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from include.bundles.chat_golden import ChatGolden, Prompt
from tests.include.serving.stage import Stage
from tests.include.steps.llm.conftest import TOKENIZER
from tests.include.steps.llm.taught import MAKE, PAIRS

SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048, "tie_word_embeddings": True}


def vllm_bundle(stage: Stage) -> Path:
    """Made once a session, in the runtime `llm`; the test is skipped where a runtime is missing."""
    for runtime in ("llm", "vllm"):
        if not stage.settings.python(runtime).exists():
            pytest.skip(f"runtime {runtime} is not installed: make install-{runtime}")
    folder, code = stage.bundles / "vllm", stage.bundles / "vllm-code"
    if folder.exists():
        return folder
    for path in (folder, code):
        path.mkdir()
    (code / "base.py").write_text(MAKE.format(kind="Qwen2", pairs=PAIRS, more=SHAPE))
    (code / "tiny_tokenizer.py").write_text(TOKENIZER)
    command = [str(stage.settings.python("llm")), "-c", f"from base import make; make({str(folder / 'model')!r})"]
    subprocess.run(command, cwd=code, check=True)
    prompts = tuple(Prompt(({"role": "user", "content": asked},), 12, answer) for asked, answer in PAIRS[:4])
    ChatGolden(prompts).save(folder / "golden.json")
    (folder / "chat.json").write_text(json.dumps({"context": 2048, "forms": "bf16"}))
    return folder
