"""A trainer whose loss is, in part, how far the student's opinion of every next token is from a teacher's.

The loss is ``weight`` · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 - ``weight``) · the answers' own
cross-entropy; over the tokens of the answers. Source: Hinton, Vinyals & Dean 2015 (arXiv 1503.02531), section 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

IGNORED = -100
"""The label of a token that is no part of an answer."""


def trainer(teacher: Path, weight: float, temperature: float) -> type[SFTTrainer]:
    """TRL's trainer with that loss. The teacher answers in the precision that it is stored in, and is not changed."""
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTTrainer

    elder = AutoModelForCausalLM.from_pretrained(teacher, local_files_only=True, dtype="auto").eval()

    class Distiller(SFTTrainer):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(compute_loss_func=self._distance, **kwargs)
            elder.to(self.model.device)

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            with torch.no_grad():
                self._theirs = elder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False).logits
            return super().compute_loss(model, inputs, *args, **kwargs)

        def _distance(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
            return loss(outputs.logits, self._theirs, labels, weight, temperature, num_items_in_batch)

    return Distiller


def loss(
    ours: torch.Tensor, theirs: torch.Tensor, labels: torch.Tensor, weight: float, temperature: float, tokens: Any = None
) -> torch.Tensor:
    """The mean over the ``tokens`` of the answers (default: those of ``labels``).

    ``ours`` and ``theirs``: [chats, positions, vocabulary]; ``labels``: [chats, positions]. The vocabularies of models of one family may be
    padded to different sizes: what only one of them has is no token.
    """
    import torch.nn.functional as F

    wanted = labels[:, 1:]
    answered = wanted != IGNORED
    known = min(ours.shape[-1], theirs.shape[-1])
    student, elder = (logits[:, :-1][answered][:, :known].float() for logits in (ours, theirs))
    cost = F.cross_entropy(student, wanted[answered], reduction="sum")
    softened = (F.log_softmax(logits / temperature, dim=-1) for logits in (student, elder))
    apart = F.kl_div(*softened, reduction="sum", log_target=True) * temperature**2
    return (weight * apart + (1 - weight) * cost) / max(1, int(answered.sum() if tokens is None else tokens))
