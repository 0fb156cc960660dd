"""Prompts as vLLM writes and cuts them, without an engine: ``python -P prompts.py REQUEST.json``, in the `vllm` runtime.

The request: ``model`` (a Hugging Face folder; its weights are not read), ``template`` (null: the model's own) and ``prompts`` (messages of
each). The last line of the output is the JSON list of their token ids.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(file: Path) -> None:
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"})
    from vllm.config import ModelConfig
    from vllm.renderers.chat_utils import parse_chat_messages
    from vllm.renderers.hf import resolve_chat_template_content_format, safe_apply_chat_template
    from vllm.tokenizers import get_tokenizer

    request = json.loads(file.read_text())
    template = request["template"]
    config = ModelConfig(model=request["model"], tokenizer=request["model"])
    tokenizer = get_tokenizer(request["model"])
    form = resolve_chat_template_content_format(template, None, "auto", tokenizer, model_config=config)
    found = []
    for prompt in request["prompts"]:
        messages, *_ = parse_chat_messages(prompt, config, content_format=form)
        text = safe_apply_chat_template(config, tokenizer, messages, chat_template=template, tokenize=False, add_generation_prompt=True)
        found.append(tokenizer(text, add_special_tokens=False)["input_ids"])
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
