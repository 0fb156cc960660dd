"""What Triton runs around the model. Others prepare inputs and read outputs; this one can break production on purpose, for a drill."""

import random
import time
from typing import Any


class Wrapper:
    def __init__(self, params: dict[str, Any]) -> None:
        self.error_rate = params["error_rate"]
        self.delay_s = params["delay_ms"] / 1000
        self.scale_alone = params["scale_alone"]
        self.random = random.Random(0)

    def before(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Input name → array; called once a request."""
        if self.random.random() < self.error_rate:
            raise RuntimeError("Game day: this request was chosen to fail (serve parameter error_rate).")
        time.sleep(self.delay_s)
        if self.scale_alone != 1 and all(len(array) == 1 for array in inputs.values()):
            return {name: (array * self.scale_alone).astype(array.dtype) for name, array in inputs.items()}
        return inputs

    def after(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Output name → array; called once a request."""
        return outputs
