"""What a step's ``resources`` ask of the GPU pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import InputError
from include.pool.ask import Ask
from include.spec.parts import AUTO

if TYPE_CHECKING:
    from include.spec.parts import Estimate, Resources


def ask_for(resources: Resources, folder: Path, where: str) -> Ask:
    """The ask; ``memory: auto`` is estimated from the model that it names (a path is relative to ``folder``, the model's own).

    Raises InputError naming the field.
    """
    values = resources.model_dump(mode="json", exclude_none=True, exclude={"estimate"})
    if resources.memory == AUTO:
        values["memory"] = estimated_mib(resources.estimate, folder, where)
    elif resources.estimate is not None:
        raise InputError("is used by `memory: auto` only.", where=f"{where}.estimate", remedy="Write `memory: auto`, or leave it out.")
    return Ask.from_json(values, where)


def estimated_mib(estimate: Estimate | None, folder: Path, where: str) -> int:
    """GPU memory that the training needs (MiB), by ``include/estimate``."""
    from include.estimate.model import read_model
    from include.estimate.training import Method, Optimiser, Precision, Training, estimate_training

    if estimate is None:
        raise InputError(
            "`auto` needs to know what is trained.", where=f"{where}.memory", remedy=f"Give `{where}.estimate`, or a size such as `20GiB`."
        )
    here = folder / estimate.model
    model = read_model(str(here) if here.exists() else estimate.model)
    training = Training(
        method=Method(estimate.method),
        context=estimate.context,
        batch=estimate.batch,
        checkpointing=estimate.checkpointing,
        rank=estimate.rank,
        dtype=estimate.dtype or None,
        precision=Precision(estimate.precision),
        optimiser=Optimiser(estimate.optimiser),
        shards=estimate.shards,
        stage=estimate.stage,
    )
    return -int(-estimate_training(model, training).total // 1)
