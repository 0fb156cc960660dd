"""What a person may have a trial under way do, and whether it may be done now. Pure."""

from __future__ import annotations

from enum import StrEnum


class Order(StrEnum):
    """``PAUSE``: the new version gets no requests and the trial's clock stands still, until ``RESUME``. ``PROMOTE``: it becomes champion
    at once. ``END``: it is taken back at once."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    END = "end"


FINAL = (Order.PROMOTE, Order.END)
"""After these nothing more can be ordered."""


def hindrance(order: Order, last: Order | None, *, under_way: bool, decided: str) -> str:
    """Return why the order can't be given, as a sentence; empty when it can.

    ``last``: the order given before, None for none. ``under_way``: the run is at its trial. ``decided``: the verdict that ended it.
    """
    if decided:
        return f"The trial is decided already: {decided}."
    if not under_way:
        return "No trial of this run is under way."
    if last in FINAL:
        return f"It was ordered already to {'promote' if last is Order.PROMOTE else 'end'}; the trial does so at its next look."
    if order is Order.RESUME and last is not Order.PAUSE:
        return "The trial is not paused."
    if order is Order.PAUSE and last is Order.PAUSE:
        return "The trial is paused already."
    return ""
