"""The slow model of `make demo-llm`: more layers, the same answers."""

import os
import subprocess

import pytest

from include.runtime.settings import Settings

pytestmark = pytest.mark.integration

CHECK = """
import sys
from pathlib import Path
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from include.demo.idle_layers import add

torch.manual_seed(0)
source, target = (Path(sys.argv[1]) / name for name in ("source", "target"))
sizes = dict(vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
model = Qwen2ForCausalLM(Qwen2Config(**sizes)).eval()
model.save_pretrained(source)
PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())).save_pretrained(source)
add(source, target, 3)
slow = AutoModelForCausalLM.from_pretrained(target).eval()
assert slow.config.num_hidden_layers == len(slow.model.layers) == 5
ids = torch.arange(20)[None]
with torch.no_grad():
    assert torch.equal(model(input_ids=ids).logits, slow(input_ids=ids).logits)
    assert torch.equal(model.generate(ids, max_new_tokens=4, do_sample=False), slow.generate(ids, max_new_tokens=4, do_sample=False))
"""


def test_layers_that_change_nothing_can_be_added(tmp_path):
    settings = Settings.load()
    python = settings.python("llm")
    if not python.exists():
        pytest.skip("runtime llm is not installed: make install-llm")
    environment = os.environ | {"PYTHONPATH": str(settings.repo)}
    done = subprocess.run(
        [str(python), "-c", CHECK, str(tmp_path)], cwd=settings.repo, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
