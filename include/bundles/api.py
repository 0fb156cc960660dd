"""What would break for callers if one signature took the place of another. Pure."""

from __future__ import annotations

from include.bundles.signature import INPUT, PROBABILITIES, Signature, Tensor

SHOWN = 5


def changes(before: Signature, after: Signature) -> tuple[str, ...]:
    """One sentence for each thing that a caller of ``before`` may rely on and ``after`` doesn't give; empty when its calls go on working.

    What ``after`` does not know of itself yet (no outputs, no limits) is not compared."""
    found = [*_inputs(before, after), *(_outputs(before, after) if after.outputs else ())]
    for name, limit in after.limits.items():
        old = before.limits.get(name)
        if not limit.missing and (old is None or old.missing) and before.limited and name in before.features:
            found.append(f"column {name!r} is refused where it is missing, and was not")
    if before.classes and after.classes and set(before.classes) != set(after.classes):
        gone, new = ([str(label) for label in a if label not in b] for a, b in _both(before.classes, after.classes))
        parts = [f"{word} {', '.join(labels[:SHOWN])}" for word, labels in (("without", gone), ("with", new)) if labels]
        found.append(f"the classes are others: {' and '.join(parts)}")
    elif before.classes and after.classes and before.classes != after.classes:
        found.append(f"the classes stand in another order in {PROBABILITIES}")
    return tuple(found)


def _both(a: tuple[int | str, ...], b: tuple[int | str, ...]) -> tuple[tuple[tuple[int | str, ...], tuple[int | str, ...]], ...]:
    return ((a, b), (b, a))


def _inputs(before: Signature, after: Signature) -> list[str]:
    old, new = ({tensor.name: tensor for tensor in signature.inputs} for signature in (before, after))
    if (INPUT in old) != (INPUT in new):
        one, many = (f"one tensor {INPUT!r}", "a tensor for each column")
        return [f"{one if INPUT in old else many} was taken, and now it is {many if INPUT in old else one}"]
    found = [f"input {name!r} is gone" for name in old if name not in new]
    found += [f"input {name!r} is new, and must be sent" for name, tensor in new.items() if name not in old and not tensor.optional]
    found += [sentence for name in old if name in new for sentence in _tensor(old[name], new[name])]
    if INPUT in old and before.features and after.features and before.features != after.features:
        found.append(_columns(before.features, after.features))
    return found


def _tensor(old: Tensor, new: Tensor) -> list[str]:
    found = []
    if old.datatype != new.datatype:
        found.append(f"{old.name!r} was {old.datatype} and is {new.datatype}")
    if old.shape != new.shape:
        found.append(f"{old.name!r} had shape {list(old.shape)} and has {list(new.shape)}")
    if old.optional and not new.optional:
        found.append(f"input {old.name!r} must be sent now")
    return found


def _columns(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    gone, added = ([name for name in a if name not in b] for a, b in ((old, new), (new, old)))
    if not gone and not added:
        return f"the columns of {INPUT!r} stand in another order"
    parts = [f"{word} {', '.join(names[:SHOWN])}" for word, names in (("without", gone), ("with", added)) if names]
    return f"the columns of {INPUT!r} are others: {' and '.join(parts)}"


def _outputs(before: Signature, after: Signature) -> list[str]:
    old, new = ({tensor.name: tensor for tensor in signature.outputs} for signature in (before, after))
    gone = [f"output {name!r} is gone" for name in old if name not in new]
    kinds = [
        f"output {name!r} was {tensor.datatype} and is {new[name].datatype}"
        for name, tensor in old.items()
        if name in new and new[name].datatype != tensor.datatype
    ]
    return [*gone, *kinds]
