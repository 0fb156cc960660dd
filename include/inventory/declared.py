"""A declared inventory: a YAML file that says which GPUs there are. For simulation, and its nodes are marked as simulated everywhere.

.. code-block:: yaml

    nodes:
      - name: rack1            # letters, digits, `_`, `.`, `-`
        labels: {zone: a}      # optional; text to text
        devices:
          - model: H100-80GB   # a name of the estimator's table needs no memory
            memory: 80GiB      # or MiB as a number
            count: 2           # default 1
            sharing: mps       # or time-slice; default: whole GPUs only
            nvlink: 4          # each four of them, side by side, are linked to each other by NVLink; default: none are
            numa: 4            # each four of them belong to one NUMA node; default: not known
            mig: [3g.40gb, 3g.40gb]   # each of the ``count`` GPUs is split into these; default: not in MIG mode
        burst:                 # only of a machine that is taken by the hour and given back
          price_per_hour: 2.5
          boot_s: 180          # from being asked for until work can start
          spot: true           # its provider may take it back; default: false
          notice_s: 120        # it does so, in that many seconds: add it while the agent runs, to see what happens then
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from include.errors import InputError
from include.inventory.hired import Hired
from include.inventory.model_names import known_memory_mib
from include.pool import mig, mig_cuts
from include.pool.ask import MIB, MOST_GPUS, MOST_MEMORY_MIB, NAME, PROFILE, SIZE
from include.pool.state import BurstOffer, Device, GpuCut, NodeReport

DECLARED = "declared/"
"""What the uuids of such devices begin with."""
SHARING = ("", "time-slice", "mps")
MOST_NODES = 4096
NODE_FIELDS = ("name", "labels", "devices", "burst")
BURST_FIELDS = ("price_per_hour", "boot_s", "spot", "notice_s")
LONGEST_BOOT_S = 86_400.0
HIGHEST_PRICE = 1_000_000.0
DEVICE_FIELDS = ("model", "memory", "count", "sharing", "nvlink", "numa", "mig")


class Declared:
    """The file at ``path``, read anew each time: an edit shows with the next report."""

    source = "declared"

    def __init__(self, path: Path, reporter: str) -> None:
        self._path = path
        self._cuts: dict[tuple[str, str], tuple[tuple[str, int], ...]] = {}
        """Node and GPU → instances by profile and first memory slice, where the pool has had it cut anew since this agent started."""
        self._hired = Hired()
        # A file of one node that bears the reporter's name needs no right to report other nodes.
        self.cluster = [node.name for node in self.read()] != [reporter]

    def read(self) -> list[NodeReport]:
        """Raises InputError naming the file, the field and what to write there."""
        try:
            document = yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot be read ({error.strerror}).", where=str(self._path), remedy="Name an inventory file that exists."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"is no YAML ({str(error)[:300]}).", where=str(self._path), remedy="Mend the file.") from None
        return [self._hired.seen(self._as_cut(node)) for node in nodes(document, str(self._path))]

    def want(self, node: str, up: bool) -> None:
        """Boot a simulated machine that is taken by the hour, or end it."""
        self._hired.want(node, up)

    def cut(self, node: str, cut: GpuCut) -> None:
        """Cut a simulated GPU anew: the next reading shows it. A restarted agent begins with what the file says."""
        (report,) = [one for one in self.read() if one.name == node]
        there = {device.uuid: (device.mig, device.first_slice) for device in report.devices if device.parent == cut.parent}
        left = [place for uuid, place in there.items() if uuid not in cut.destroy]
        self._cuts[node, cut.parent] = tuple(sorted({*left, *cut.create}, key=lambda place: place[1]))

    def _as_cut(self, node: NodeReport) -> NodeReport:
        devices: list[Device] = []
        done: set[str] = set()
        for device in node.devices:
            cut = self._cuts.get((node.name, device.parent))
            if cut is None:
                devices.append(device)
            elif device.parent not in done:
                done.add(device.parent)
                known = {(one.mig, one.first_slice): one for one in node.devices if one.parent == device.parent}
                devices += [known.get(place) or _cut_off(device, *place) for place in cut]
        return replace(node, devices=tuple(replace(device, index=index) for index, device in enumerate(devices)))


def nodes(document: Any, where: str) -> list[NodeReport]:
    """The nodes of a parsed document. Raises InputError for anything that is not of the format."""
    top = _fields(document, ("nodes",), where)
    entries = top.get("nodes")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_NODES:
        raise InputError(
            f"must be a list of 1 to {MOST_NODES} nodes.", where=f"{where}: nodes", remedy="See include/inventory/simulated.yaml."
        )
    found = [_node(entry, f"{where}: nodes[{number}]") for number, entry in enumerate(entries)]
    names = [node.name for node in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"names {twice[0]!r} twice.", where=f"{where}: nodes", remedy="Give every node a name of its own.")
    return found


def _node(entry: Any, where: str) -> NodeReport:
    fields = _fields(entry, NODE_FIELDS, where)
    name = fields.get("name")
    if not isinstance(name, str) or not NAME.match(name):
        raise InputError(f"is {name!r:.60}.", where=f"{where}.name", remedy="Give 1 to 63 letters, digits, `_`, `.` and `-`.")
    groups = fields.get("devices")
    if not isinstance(groups, list) or not groups:
        raise InputError("must be a list of devices.", where=f"{where}.devices", remedy="Give at least `- model: H100-80GB`.")
    devices: list[Device] = []
    first = 0
    for number, group in enumerate(groups):
        made, count = _group(group, name, first, len(devices), f"{where}.devices[{number}]")
        devices, first = devices + made, first + count
    if first > MOST_GPUS:
        raise InputError(f"adds up to {first} GPUs.", where=f"{where}.devices", remedy=f"A node has at most {MOST_GPUS}.")
    return NodeReport(name, _labels(fields.get("labels"), f"{where}.labels"), tuple(devices), _burst(fields.get("burst"), f"{where}.burst"))


def _burst(entry: Any, where: str) -> BurstOffer | None:
    if entry is None:
        return None
    fields = _fields(entry, BURST_FIELDS, where)
    price = _number(fields.get("price_per_hour"), HIGHEST_PRICE, f"{where}.price_per_hour", "what an hour costs")
    boot_s = _number(fields.get("boot_s"), LONGEST_BOOT_S, f"{where}.boot_s", "seconds until work can start")
    spot, left = fields.get("spot", False), fields.get("notice_s")
    if not isinstance(spot, bool):
        raise InputError(f"is {spot!r:.60}.", where=f"{where}.spot", remedy="Give true or false.")
    notice_s = None if left is None else _number(left, LONGEST_BOOT_S, f"{where}.notice_s", "seconds")
    return BurstOffer(price, boot_s, spot, notice_s=notice_s)


def _number(value: Any, most: float, where: str, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InputError(f"is {value!r:.60}.", where=where, remedy=f"Give {what}, a number from 0 to {most:g}.")
    return float(value)


def _group(entry: Any, node: str, first: int, index: int, where: str) -> tuple[list[Device], int]:
    """The devices of one entry, and how many GPUs they are; ``first`` is the number of its first GPU, ``index`` of its first device."""
    fields = _fields(entry, DEVICE_FIELDS, where)
    model = fields.get("model")
    if not isinstance(model, str) or not NAME.match(model):
        raise InputError(f"is {model!r:.60}.", where=f"{where}.model", remedy="Give a GPU model such as `H100-80GB`.")
    count = fields.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_GPUS:
        raise InputError(f"is {count!r:.60}.", where=f"{where}.count", remedy=f"Give a whole number from 1 to {MOST_GPUS}.")
    sharing = fields.get("sharing") or ""
    if sharing not in SHARING:
        raise InputError(f"is {sharing!r:.60}.", where=f"{where}.sharing", remedy="Give `time-slice` or `mps`, or leave it out.")
    memory = _memory(fields.get("memory"), model, f"{where}.memory")
    profiles = _profiles(fields.get("mig"), memory, sharing, f"{where}.mig")
    linked, near = (_several(fields.get(name), count, f"{where}.{name}") for name in ("nvlink", "numa"))
    if linked and profiles:
        raise InputError("is given beside mig.", where=f"{where}.nvlink", remedy="MIG instances are not linked: leave one out.")
    made = list(_devices(node, model, memory, sharing, profiles, range(first, first + count), index))
    if not profiles:
        made = [_located(device, first, place, linked, near) for place, device in enumerate(made)]
    return made, count


def _located(device: Device, first: int, place: int, linked: int, near: int) -> Device:
    """``first`` is the number of the entry's first GPU on its node: two entries have no island in common."""
    island = f"{first}-{place // linked}" if linked > 1 else ""
    return replace(device, island=island, numa=(first + place) // near if near else -1)


def _several(value: Any, count: int, where: str) -> int:
    """So many of an entry's GPUs belong together; 0 where it isn't said."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= count:
        raise InputError(f"is {value!r:.60}.", where=where, remedy=f"Give a whole number from 1 to {count}: how many belong together.")
    return value


def _devices(node: str, model: str, memory: int, sharing: str, profiles: list[str], numbers: range, index: int) -> Iterator[Device]:
    for number in numbers:
        uuid = f"{DECLARED}{node}/gpu-{number}"
        if not profiles:
            yield Device(uuid, index + number - numbers.start, model, memory, sharing=sharing)
        starts = _starts(model, profiles)
        for place, profile in enumerate(profiles):
            at = index + (number - numbers.start) * len(profiles) + place
            share = mig.memory_mib(profile) // 1024 * memory // math.ceil(memory / 1024)
            yield Device(f"{uuid}/mig-{place}", at, model, share, mig=profile, parent=uuid, first_slice=starts[place])


def _starts(model: str, profiles: list[str]) -> list[int]:
    """The first memory slice of each (1 to 8); 0 for all where the model isn't known, or they don't fit side by side by NVIDIA's tables."""
    places = mig_cuts.table(model)
    large = sorted(range(len(profiles)), key=lambda at: -mig.slices(profiles[at]))
    found = mig_cuts.served(places, (), [profiles[at] for at in large])
    if len(found) < len(profiles):
        return [0] * len(profiles)
    start = {at: one.start + 1 for at, one in zip(large, found, strict=True)}
    return [start[at] for at in range(len(profiles))]


def _cut_off(sibling: Device, profile: str, first: int) -> Device:
    return replace(
        sibling, uuid=f"{sibling.parent}/mig-{profile}@{first}", mig=profile, first_slice=first, memory_mib=mig.memory_mib(profile)
    )


def _memory(value: Any, model: str, where: str) -> int:
    if value is None:
        known = known_memory_mib(model)
        if known:
            return known
        raise InputError(f"is missing, and {model} is not in the estimator's table.", where=where, remedy="Give a size such as `80GiB`.")
    match = SIZE.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    size = int(float(match[1]) * MIB[match[2]]) if match else 0
    if not 1 <= size <= MOST_MEMORY_MIB:
        raise InputError(f"is {value!r:.60}.", where=where, remedy="Give a size such as `80GiB`, or MiB as a number.")
    return size


def _profiles(value: Any, memory: int, sharing: str, where: str) -> list[str]:
    profiles = value or []
    if not isinstance(profiles, list) or not all(isinstance(profile, str) and PROFILE.match(profile) for profile in profiles):
        raise InputError(f"is {value!r:.60}.", where=where, remedy="Give a list of MIG profiles such as `[3g.40gb, 3g.40gb]`.")
    if profiles and sharing:
        raise InputError("is given beside sharing.", where=where, remedy="A GPU is split by MIG or shared, not both: leave one out.")
    if sum(map(mig.memory_mib, profiles)) > math.ceil(memory / 1024) * 1024 or len(profiles) > 7:
        raise InputError(
            f"asks for more than one GPU has ({memory} MiB, 7 instances).", where=where, remedy="Split it into fewer or smaller."
        )
    return [mig.canonical(profile) for profile in profiles]


def _labels(value: Any, where: str) -> dict[str, str]:
    labels = value or {}
    if not isinstance(labels, dict) or len(labels) > 64 or not all(_short(key) and _short(entry) for key, entry in labels.items()):
        raise InputError(f"is {value!r:.60}.", where=where, remedy="Give a mapping of text to text (quote numbers).")
    return labels


def _short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 253


def _fields(value: Any, known: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("must be a mapping.", where=where, remedy=f"Its fields: {', '.join(known)}.")
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        raise InputError(f"has an unknown field {unknown[0]!r:.60}.", where=where, remedy=f"Its fields: {', '.join(known)}.")
    return value
