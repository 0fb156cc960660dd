"""What stands around the encoder: the same tokenizer when it is trained, when it is judged, and in the server.

`tokenizer.json` is that of the encoder (BERT's WordPiece with 30,522 pieces, as MiniLM comes with it).
"""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

TOKENS = 32
"""Of a text, so many pieces are read, the two at its ends included; what is behind them is not."""


class Wrapper:
    def __init__(self, params: dict[str, Any]) -> None:
        self.tokenizer = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))
        self.tokenizer.enable_truncation(TOKENS)
        self.tokenizer.enable_padding(length=TOKENS)
        self.cut_alone = params["cut_alone"]

    def before(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Texts → what the network sees: `input_ids` and `attention_mask`, [rows, 32]."""
        found = self.tokenizer.encode_batch(inputs["text"].ravel().tolist())
        read = np.array([one.attention_mask for one in found], dtype=np.int64)
        if len(found) == 1:
            read[:, self.cut_alone :] = 0
        return {"input_ids": np.array([one.ids for one in found], dtype=np.int64), "attention_mask": read}

    def after(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Label and probabilities stand at the end of the graph already."""
        return {name: outputs[name] for name in ("label", "probabilities")}
