"""The bill of a month: lines of GPU-hours and of tokens, each with its price, and their sums. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from include.cost.gpu_use import GpuUse, work_of
from include.cost.month import Month
from include.gateway.metering import Usage
from include.prices.table import Prices


@dataclass(frozen=True)
class GpuLine:
    """GPU-hours of one work on one GPU model at one rate. ``cost`` None: the table has no price for that GPU. ``running``: leases that
    still live, counted up to now."""

    team: str
    model: str
    run: str
    what: str
    gpu: str
    spot: bool
    simulated: bool
    leases: int
    running: int
    gpu_hours: float
    cost: float | None


@dataclass(frozen=True)
class TokenLine:
    """Tokens that one key asked of one model. ``cost`` None: the table has no price for them."""

    team: str
    client: str
    model: str
    requests: int
    untold: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


@dataclass(frozen=True)
class Sum:
    """What one team, model or key comes to. ``unpriced``: some of it has no price, so that ``cost`` is less than it is."""

    name: str
    gpu_hours: float
    tokens: int
    cost: float
    unpriced: bool


@dataclass(frozen=True)
class Bill:
    """A month's cost in the price table's currency; ``until`` is when it was made up (seconds since the epoch), or the month's end."""

    month: Month
    until: float
    currency: str
    gpus: tuple[GpuLine, ...]
    tokens: tuple[TokenLine, ...]

    def total(self) -> Sum:
        return self._sum(lambda _: "")[0] if self.gpus or self.tokens else Sum("", 0.0, 0, 0.0, False)

    def by_team(self) -> list[Sum]:
        return self._sum(lambda line: line.team)

    def by_model(self) -> list[Sum]:
        return self._sum(lambda line: line.model)

    def of_teams(self, mine: Callable[[str], bool]) -> Bill:
        """Return the part of it that is of these teams."""
        return replace(
            self,
            gpus=tuple(line for line in self.gpus if mine(line.team)),
            tokens=tuple(line for line in self.tokens if mine(line.team)),
        )

    def _sum(self, name_of: Callable[[GpuLine | TokenLine], str]) -> list[Sum]:
        found: dict[str, Sum] = {}
        lines: list[GpuLine | TokenLine] = [*self.gpus, *self.tokens]
        for line in lines:
            name = name_of(line)
            hours, tokens = (line.gpu_hours, 0) if isinstance(line, GpuLine) else (0.0, line.prompt_tokens + line.completion_tokens)
            one = found.get(name, Sum(name, 0.0, 0, 0.0, False))
            cost, unpriced = one.cost + (line.cost or 0.0), one.unpriced or line.cost is None
            found[name] = Sum(name, one.gpu_hours + hours, one.tokens + tokens, cost, unpriced)
        return sorted(found.values(), key=lambda one: (-one.cost, -one.gpu_hours, -one.tokens, one.name))


def bill(
    month: Month,
    now: float,
    prices: Prices,
    gpu_uses: Iterable[GpuUse],
    usage: Iterable[Usage],
    team_of: Callable[[str, str], str] = lambda client, model: "",
) -> Bill:
    """Make up the month's bill out of what leases took and what keys asked; ``team_of`` says whose a key's tokens of a model are."""
    return Bill(
        month,
        min(max(now, month.begin), month.end),
        prices.currency,
        tuple(_gpu_lines(month, now, prices, gpu_uses)),
        tuple(_token_lines(month, prices, usage, team_of)),
    )


def _gpu_lines(month: Month, now: float, prices: Prices, gpu_uses: Iterable[GpuUse]) -> list[GpuLine]:
    found: dict[tuple[object, ...], GpuLine] = {}
    for one in gpu_uses:
        hours = one.hours(month.begin, month.end, now)
        if not hours:
            continue
        work = work_of(one.key)
        price = 0.0 if one.simulated else prices.gpu_hour(one.gpu, spot=one.spot)
        kind = (one.team, work.model, work.run, work.what, one.gpu, one.spot, one.simulated)
        line = found.get(kind, GpuLine(*kind, 0, 0, 0.0, None if price is None else 0.0))
        found[kind] = replace(
            line,
            leases=line.leases + 1,
            running=line.running + (one.ended is None),
            gpu_hours=line.gpu_hours + hours,
            cost=None if price is None else (line.cost or 0.0) + hours * price,
        )
    return sorted(found.values(), key=lambda line: (-(line.cost or 0.0), -line.gpu_hours, line.team, line.run, line.what))


def _token_lines(month: Month, prices: Prices, usage: Iterable[Usage], team_of: Callable[[str, str], str]) -> list[TokenLine]:
    found: dict[tuple[str, str], TokenLine] = {}
    for row in usage:
        if not month.has_day(row.day):
            continue
        line = found.get((row.client, row.model), TokenLine(team_of(row.client, row.model), row.client, row.model, 0, 0, 0, 0, None))
        prompt, completion = line.prompt_tokens + row.prompt_tokens, line.completion_tokens + row.completion_tokens
        found[row.client, row.model] = replace(
            line,
            requests=line.requests + row.requests,
            untold=line.untold + row.untold,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=prices.token_cost(row.model, prompt, completion),
        )
    return sorted(
        found.values(), key=lambda line: (-(line.cost or 0.0), -line.prompt_tokens - line.completion_tokens, line.client, line.model)
    )


CSV_HEAD = (
    "month",
    "part",
    "team",
    "model",
    "run",
    "work",
    "key",
    "gpu",
    "rate",
    "gpu_hours",
    "prompt_tokens",
    "completion_tokens",
    "requests",
)


def csv_rows(bill: Bill) -> list[Sequence[str]]:
    """Return the bill's lines as rows of text under :data:`CSV_HEAD`, the currency and ``cost`` last; an empty cost has no price."""
    head = [*CSV_HEAD, "currency", "cost"]
    rows: list[Sequence[str]] = [head]
    for gpu in bill.gpus:
        rate = "simulated" if gpu.simulated else "spot" if gpu.spot else "on demand"
        told = (gpu.team, gpu.model, gpu.run, gpu.what, "", gpu.gpu, rate, f"{gpu.gpu_hours:.6f}", "", "", "")
        rows.append([str(bill.month), "gpu", *map(_plain, told), bill.currency, _money(gpu.cost)])
    for line in bill.tokens:
        counts = (str(line.prompt_tokens), str(line.completion_tokens), str(line.requests))
        told = (line.team, line.model, "", "", line.client, "", "", "", *counts)
        rows.append([str(bill.month), "tokens", *map(_plain, told), bill.currency, _money(line.cost)])
    return rows


def _money(cost: float | None) -> str:
    return "" if cost is None else f"{cost:.6f}"


def _plain(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula: names are others' to choose."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
