"""How a GPU can be cut into MIG instances, and how it is cut anew around those that are held. Pure.

Source of profiles and places: NVIDIA's MIG user guide, "Supported MIG profiles" (A100, H100, H200, B200); places are as the driver lists
them (``nvidia-smi mig -lgipp``): of eight memory slices an instance takes some side by side, from certain first ones on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from include.pool import mig


@dataclass(frozen=True)
class Places:
    """Memory slices that an instance takes of eight, and the first ones from which it may (0 to 7)."""

    size: int
    starts: tuple[int, ...]


SMALLEST = Places(1, (0, 1, 2, 3, 4, 5, 6))
KINDS = (SMALLEST, Places(2, (0, 2, 4, 6)), Places(2, (0, 2, 4)), Places(4, (0, 4)), Places(4, (0,)), Places(8, (0,)))
"""One compute slice, one with double memory, two, three, four, seven: alike on all these models."""
PROFILES = {
    "A100-40GB": ("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "A100-80GB": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H100-80GB": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H200-141GB": ("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
    "B200-180GB": ("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb"),
}
"""By the models' short names; those with media extensions are cut by hand alone."""
MOST_AHEAD = 7
"""So many instances that others wait for are looked at beside the one that a cut is for: a GPU holds no more."""


@dataclass(frozen=True, order=True)
class Instance:
    """A GPU instance: its profile, and the first memory slice that it takes (0 to 7)."""

    start: int
    profile: str


@dataclass(frozen=True)
class Cut:
    """What is done to one GPU: instances to destroy, then instances to create."""

    destroy: tuple[Instance, ...]
    create: tuple[Instance, ...]


@cache
def table(model: str) -> Mapping[str, Places]:
    """Return the places of each profile of the model, by its name; nothing for a model that isn't known, and is not cut."""
    name = next((known for known in PROFILES if model == known or f"{model}-".startswith(f"{known}-")), "")
    return dict(zip(PROFILES.get(name, ()), KINDS, strict=False))


def fits(places: Mapping[str, Places], instances: Iterable[Instance]) -> bool:
    """Whether the GPU can have all these at once: each where it may be, none over another, seven compute slices at most."""
    taken = compute = 0
    for one in instances:
        place = places.get(one.profile)
        if place is None or one.start not in place.starts or taken & _mask(place.size, one.start):
            return False
        taken |= _mask(place.size, one.start)
        compute += mig.slices(one.profile)
    return compute <= mig.SLICES


def additions(places: Mapping[str, Places], instances: Sequence[Instance], profile: str) -> Iterator[Instance]:
    """Where another instance of the profile could be beside these."""
    for start in places[profile].starts if profile in places else ():
        one = Instance(start, profile)
        if fits(places, (*instances, one)):
            yield one


def layouts(model: str) -> frozenset[frozenset[Instance]]:
    """Return every way to cut the model to which nothing can be added."""
    places, found, seen = table(model), set(), set()
    waiting: list[frozenset[Instance]] = [frozenset()]
    while waiting:
        cut = waiting.pop()
        if cut in seen:
            continue
        seen.add(cut)
        more = [cut | {one} for profile in places for one in additions(places, tuple(cut), profile)]
        waiting += more
        if not more and cut:
            found.add(cut)
    return frozenset(found)


def room(places: Mapping[str, Places], instances: Iterable[Instance]) -> int:
    """Return in how many ways one more instance, of any profile, could be put beside these: what an ill-chosen place costs."""
    instances = tuple(instances)
    return _room(tuple(places.items()), _taken(places, instances), sum(mig.slices(one.profile) for one in instances))


@cache
def _room(places: tuple[tuple[str, Places], ...], taken: int, compute: int) -> int:
    return sum(
        not taken & _mask(place.size, start) and compute + mig.slices(profile) <= mig.SLICES
        for profile, place in places
        for start in place.starts
    )


def _mask(size: int, start: int) -> int:
    """Memory slices as bits."""
    return ((1 << size) - 1) << start


def _taken(places: Mapping[str, Places], instances: Iterable[Instance]) -> int:
    taken = 0
    for one in instances:
        taken |= _mask(places[one.profile].size, one.start)
    return taken


def served(places: Mapping[str, Places], instances: Sequence[Instance], wanted: Iterable[str]) -> list[Instance]:
    """Where those who wait would be beside these, first come first; who finds no place is passed over."""
    beside: list[Instance] = []
    for profile in wanted:
        one = _best(places, (*instances, *beside), profile)
        if one is not None:
            beside.append(one)
    return beside


def _best(places: Mapping[str, Places], instances: Sequence[Instance], profile: str) -> Instance | None:
    """The place that leaves the most room for others; the last of equals, as the first slices suit the large ones."""
    options = additions(places, instances, profile)
    return max(options, key=lambda one: (room(places, (*instances, one)), one.start), default=None)


def cut(
    model: str, held: Sequence[Instance], idle: Sequence[Instance], profile: str, count: int = 1, queue: Sequence[str] = ()
) -> tuple[Cut, tuple[int, ...]] | None:
    """Return how to have ``count`` idle instances of the profile, and what it costs (smaller is better); None if there is no room for them.

    Held instances stay as they are, and so do idle ones where it makes no difference to those who wait (``queue``, profiles, first in line
    first). Costs: those who wait and would find no room then; room that is lost for good; idle instances that go.
    """
    places = table(model)
    if not fits(places, (*held, *idle)):
        return None  # the driver says something that the table doesn't know
    new: list[Instance] = []
    for _ in range(count):
        kept = next((one for one in idle if one.profile == profile and one not in new), None)
        best = kept if kept and fits(places, (*held, *new, kept)) else _best(places, (*held, *new), profile)
        if best is None:
            return None
        new.append(best)
    after = served(places, (*held, *new), queue)
    firm = (*held, *new, *after)
    stay = [one for one in idle if one not in firm and fits(places, (*firm, one))]
    gone = tuple(one for one in idle if one not in firm and one not in stay)
    made = tuple(one for one in (*new, *after) if one not in idle)
    lost = room(places, held) - room(places, (*held, *new))
    return Cut(tuple(sorted(gone)), tuple(sorted(made))), (len(queue) - len(after), lost, len(gone))
