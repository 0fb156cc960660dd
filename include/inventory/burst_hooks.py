"""Machines that are taken by the hour from a cloud, spot or not, through three commands of whoever runs the agent.

.. code-block:: yaml

    hooks:
      boot: [/etc/updraft/boot]     # with the node's name as last argument: have it booted
      end: [/etc/updraft/end]       # the same: have it ended
      state: [/etc/updraft/state]   # prints how all of them are: {"spot-1": {"state": "on"}, "spot-2": {"state": "off"}}
    nodes:                          # as in a declared inventory, each with ``burst``
      - name: spot-1
        burst: {price_per_hour: 2.5, boot_s: 180, spot: true}
        devices: [{model: H100-80GB, count: 8}]

``boot`` and ``end`` may be called again for a machine that is on its way already, and end with 0 when their provider has taken the order;
what they say on standard error is the reason that the pool tells when they end with anything else. ``state`` says ``off``, ``booting``,
``on`` (work can start there now) or ``ending`` of each; beside it ``notice_s``, the seconds after which the provider takes a spot instance
back, and ``devices``, what that machine's own ``python -m gpu_pool.agent --source nvml --print`` says of its GPUs: without them the file's
are believed. A command is run as it stands, without a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import yaml

from include.errors import ComponentError, InputError
from include.inventory.declared import nodes
from include.inventory.report import device_of
from include.pool.state import BurstOffer, BurstState, Device, NodeReport

FIELDS = ("boot", "end", "state")
STATE_S = 20.0
"""``state`` may take so long: a silence of 30 s takes the nodes out of service."""
ORDER_S = 900.0
"""``boot`` and ``end`` may take so long."""
AGAIN_S = 60.0
"""An order that was taken is not given again sooner: a provider's list may lag behind."""
MOST_SAID = 1_000_000
"""Bytes that ``state`` may say."""


@dataclass
class _Order:
    """A command under way, or the last one of a node."""

    up: bool
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    begun: float
    ended: float | None = None
    failed: str = ""


class BurstHooks:
    """The machines of the file at ``path``, which is read anew each time."""

    source = "burst"
    cluster = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._orders: dict[str, _Order] = {}
        self._states: Mapping[str, Any] = {}
        self._file()

    def read(self) -> list[NodeReport]:
        """Raises InputError for a file that says it wrong, ComponentError where ``state`` can't tell."""
        hooks, there = self._file()
        self._states = _states(hooks["state"])
        self._look_after()
        return [self._seen(node) for node in there]

    def want(self, node: str, up: bool) -> None:
        """Give the order, unless it is under way, was given a moment ago, or there is nothing to do. Raises InputError, ComponentError."""
        hooks, there = self._file()
        if node not in {one.name for one in there}:
            raise InputError("is not in the file any more.", where=f"{self._path}: node {node}", remedy="Put it back until it is off.")
        state, last = _state(self._states.get(node, {}), node), self._orders.get(node)
        done = state in (BurstState.ON, BurstState.BOOTING) if up else state in (BurstState.OFF, BurstState.ENDING)
        recent = last is not None and last.up == up and (last.ended is None or time.monotonic() - last.ended < AGAIN_S)
        under_way = last is not None and last.ended is None
        if done or recent or under_way:
            return
        said = tempfile.TemporaryFile()  # noqa: SIM115 closed when the order has ended
        command = [*hooks["boot" if up else "end"], node]
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        except OSError as error:
            said.close()
            raise ComponentError(f"did not run ({error.strerror}).", where=" ".join(command), remedy="Mend the file's hooks.") from None
        self._orders[node] = _Order(up, process, said, time.monotonic())

    def _look_after(self) -> None:
        """Orders that have ended, or take too long."""
        for node, order in self._orders.items():
            if order.ended is not None:
                continue
            code, late = order.process.poll(), time.monotonic() - order.begun > ORDER_S
            if code is None and not late:
                continue
            if code is None:
                _kill(order.process)
            what = "boot" if order.up else "end"
            order.ended, order.failed = time.monotonic(), "" if code == 0 else f"{what} of {node}: {_last(order, late)}"
            order.said.close()

    def _seen(self, node: NodeReport) -> NodeReport:
        offer, told = node.burst, self._states.get(node.name, {})
        if offer is None:
            raise InputError(
                "says nothing of its price.", where=f"{self._path}: node {node.name}.burst", remedy="Give price_per_hour and boot_s."
            )
        order, state = self._orders.get(node.name), _state(told, node.name)
        if order is not None and order.up and state is BurstState.OFF and not order.failed and self._expected(order, offer):
            state = BurstState.BOOTING
        failed = order.failed if order is not None else ""
        devices = _devices(told["devices"], node.name) if state is BurstState.ON and told.get("devices") else node.devices
        return replace(node, devices=devices, burst=replace(offer, state=state, notice_s=_notice(told, node.name), failed=failed))

    def _expected(self, order: _Order, offer: BurstOffer) -> bool:
        """Whether a machine that its provider doesn't show yet may still be on its way."""
        return order.ended is None or time.monotonic() - order.ended < max(AGAIN_S, offer.boot_s)

    def _file(self) -> tuple[Mapping[str, list[str]], list[NodeReport]]:
        where = str(self._path)
        try:
            document = yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror}).", where=where, remedy="Name a file that exists.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"is no YAML ({str(error)[:300]}).", where=where, remedy="Mend the file.") from None
        if not isinstance(document, dict) or not isinstance(document.get("hooks"), dict):
            raise InputError("has no hooks.", where=f"{where}: hooks", remedy=f"Give the commands {', '.join(FIELDS)}, each as a list.")
        hooks = document.pop("hooks")
        for name in (*FIELDS, *hooks):
            command = hooks.get(name)
            if name not in FIELDS or not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
                raise InputError(
                    f"is {command!r:.60}.", where=f"{where}: hooks.{name}", remedy=f"Give {', '.join(FIELDS)}, each a list of texts."
                )
        return hooks, nodes(document, where)


def _states(command: list[str]) -> Mapping[str, Any]:
    where = " ".join(command)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=STATE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComponentError(f"did not run ({type(error).__name__}).", where=where) from None
    if done.returncode:
        raise ComponentError(f"says: {done.stderr.decode(errors='replace').strip()[-300:]}", where=where)
    try:
        found = json.loads(done.stdout[:MOST_SAID])
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ComponentError("must print one JSON object: the nodes by name.", where=where, remedy='Print {"spot-1": {"state": "off"}}.')
    return found


def _state(told: Mapping[str, Any], node: str) -> BurstState:
    """Of a node that the command doesn't name: off."""
    said = told.get("state", "off")
    if said not in set(map(str, BurstState)):
        raise ComponentError(f"is {said!r:.40}.", where=f"hooks.state: {node}.state", remedy=f"Print one of {', '.join(BurstState)}.")
    return BurstState(said)


def _notice(told: Mapping[str, Any], node: str) -> float | None:
    left = told.get("notice_s")
    if left is None:
        return None
    if isinstance(left, bool) or not isinstance(left, int | float) or not 0 <= left <= ORDER_S * 100:
        raise ComponentError(f"is {left!r:.40}.", where=f"hooks.state: {node}.notice_s", remedy="Print the seconds that are left.")
    return float(left)


def _devices(told: Any, node: str) -> tuple[Device, ...]:
    try:
        return tuple(map(device_of, told))
    except (TypeError, AttributeError) as error:
        remedy = "Print what `python -m gpu_pool.agent --source nvml --print` says there."
        raise ComponentError(f"are no devices ({str(error)[:100]}).", where=f"hooks.state: {node}.devices", remedy=remedy) from None


def _last(order: _Order, late: bool) -> str:
    if late:
        return f"not done after {ORDER_S:g} s"
    order.said.seek(0)
    return order.said.read(MOST_SAID).decode(errors="replace").strip()[-300:] or f"ended with {order.process.returncode}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
