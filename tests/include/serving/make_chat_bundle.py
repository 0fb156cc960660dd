"""Writes a bundle of a random, tiny language model that knows ASCII; run by the `llm` runtime: ``make_chat_bundle.py FOLDER PORT``.

Its golden answers are those of llama.cpp, served on PORT meanwhile.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import gguf
import numpy as np

from include.backends.llamacpp import server as llamacpp_server

WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN, CONTEXT = 64, 2, 4, 2, 128, 32768
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHARACTERS = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]  # byte-level BPE's names of space and line feed
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUESTIONS = ["What is 2 plus 2?", "Name a colour.", "Who are you?"]


def write_model(path: Path, seed: int) -> int:
    """A random Qwen2 of two layers; the number of its parameters."""
    tokens = [*CHARACTERS, "th", *SPECIAL]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - 3) + [gguf.TokenType.CONTROL] * 3)
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_chat_template(CHATML)
    random, parameters = np.random.default_rng(seed), 0
    shapes = {"token_embd.weight": (len(tokens), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        key_value = KV_HEADS * WIDTH // HEADS
        block = {
            "attn_norm.weight": (WIDTH,),
            "attn_q.weight": (WIDTH, WIDTH),
            "attn_q.bias": (WIDTH,),
            "attn_k.weight": (key_value, WIDTH),
            "attn_k.bias": (key_value,),
            "attn_v.weight": (key_value, WIDTH),
            "attn_v.bias": (key_value,),
            "attn_output.weight": (WIDTH, WIDTH),
            "ffn_norm.weight": (WIDTH,),
            "ffn_gate.weight": (HIDDEN, WIDTH),
            "ffn_up.weight": (HIDDEN, WIDTH),
            "ffn_down.weight": (WIDTH, HIDDEN),
        }
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    shapes["output.weight"] = (len(tokens), WIDTH)
    for name, shape in shapes.items():
        values = random.normal(0, 0.3, shape).astype(np.float32)
        if name == "output.weight":
            values[-len(SPECIAL) :] = 0  # it never ends by itself
        writer.add_tensor(name, values)
        parameters += int(np.prod(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return parameters


def golden(model: Path, port: int) -> list[dict]:
    """What llama.cpp answers, greedily."""
    config = {"model": str(model), "alias": "maker", "host": "127.0.0.1", "port": port, "context": 256, "parallel": 1, "threads": 1}
    path = model.with_name("server.json")
    path.write_text(json.dumps(config))
    server = subprocess.Popen([sys.executable, "-P", llamacpp_server.__file__, str(path)])
    url = f"http://127.0.0.1:{port}"
    try:
        until_healthy(url)
        return [prompt(url, question) for question in QUESTIONS]
    finally:
        server.kill()
        server.wait()
        path.unlink()


def until_healthy(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def prompt(url: str, question: str) -> dict:
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 12, "temperature": 0}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = json.loads(answer.read())["choices"][0]["message"]["content"]
    return {"messages": body["messages"], "max_tokens": body["max_tokens"], "answer": text}


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True)
    parameters = write_model(folder / "model.gguf", seed=7)
    chat = {"context": CONTEXT, "forms": "f32", "architecture": "qwen2", "parameters": parameters}
    (folder / "chat.json").write_text(json.dumps(chat))
    (folder / "golden.json").write_text(json.dumps({"prompts": golden(folder / "model.gguf", port)}))


if __name__ == "__main__":
    main()
