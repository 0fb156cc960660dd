"""What stands around the network: the same code when it is trained, when it is judged, and in the server."""

from typing import Any

import numpy as np

SIDE = 32
MEAN, SPREAD = 0.45, 0.25


class Wrapper:
    def __init__(self, params: dict[str, Any]) -> None:
        self.swap_alone = params["swap_alone"]

    def before(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Pictures (Pillow's images, upright, in RGB) → what the network sees: `pixels`, [rows, 3, 32, 32]."""
        small = np.stack([np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32) for image in inputs["photo"]])
        if self.swap_alone and len(small) == 1:
            small = small[..., ::-1]
        return {"pixels": ((small / 255 - MEAN) / SPREAD).transpose(0, 3, 1, 2).astype(np.float32)}

    def after(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Label and probabilities stand at the end of the graph already."""
        return {name: outputs[name] for name in ("label", "probabilities")}
