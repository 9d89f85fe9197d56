"""The law that this package exists for: when to inspect a task next. Pure arithmetic on ratios.

Looking costs, and so does waiting. With the price c (what one poll is worth in waiting) the cost of a task is
`lag + c · polls`, the lag being the time from its completion to the poll that sees it. Polls with density n(t)
make a completion wait 1/(2n) on average, so that with hazard rate h(t) the cost accrues at the rate
h / (2n) + c · n, which is least for n = √(h / 2c): the asymptotically optimal inspection policy of Barlow, Hunter &
Proschan (1963, "Optimum checking procedures") in Keller's continuous form (1974, "Optimum checking schedules for
systems subject to random failure").

That is only the limit of many polls. Where the hazard is constant the optimum is known exactly: the cumulative hazard
between two polls is the y that solves

    e^y - y - 1 = c · h        (for small c · h: y = √(2 c h), which is n again)

Here the next poll lies where the cumulative hazard since the last has grown to that y *for the hazard at the next
poll itself*. That is one step of policy improvement over n: it minimises c + E[lag until then] + the expected cost
of going on from there. Against the exact optimum (dynamic programming) it costs at most a tenth of a per cent more
where n costs one to two, and up to eighty for mixtures.
"""

from __future__ import annotations

import bisect
import math

from foxapi_async._cadence.durations import Durations, Table

# A poll that has less than this chance to see an end, in prices, is never worth it: nothing could wait that long.
_LEAST_CHANCE = 1 / 50

# Where the cumulative hazard has grown by this, no price is too high for a poll (and e to it is still a float).
_CERTAIN = 700.0

_LEAST_HAZARD = 1e-100

# Below this chance it is asked whether the poll pays at all; the answer is always yes where the hazard is steady.
_SMALL_CHANCE = 0.05


def completions_per_poll(price_rate: float) -> float:
    """The y with e^y - y - 1 = c · h, by one step of Newton's method from its expansion.

    It is exact to 1e-4 up to c · h = 0.4, and to a hundredth everywhere.
    """
    y = math.log1p(math.sqrt(2 * price_rate) + 2 * price_rate / 3)
    if y < 1e-3:
        return y
    growth = math.expm1(y)
    return y - (growth - y - price_rate) / growth


def next_inspection(durations: Durations, x: float, price: float, step: float = 1.0) -> float:
    """The ratio at which to look next at a task that still runs at `x`.

    Args:
        durations: of the ratio `actual / estimated`.
        x: where it was looked at last; 0 for a new task.
        price: c in units of the estimate.
        step: how much more or less than the optimal share of completions to await, once it is clear where.

    Returns:
        A ratio above `x`.
    """
    fallen = durations.cumulative_hazard(x)
    best = _best(durations, fallen, price)
    if step != 1.0:
        best = durations.quantile(fallen + step * (durations.cumulative_hazard(best) - fallen))
    return max(best, math.nextafter(x, math.inf))


def _best(durations: Durations, fallen: float, price: float) -> float:
    """The first point at which a poll is due, and pays; where none pays, the first at which one is due."""
    table = durations.table
    due = _first_due(table, fallen, price)
    first = best = _crossing(table, fallen, price, due)
    while due < len(table.xs) and not _pays(durations, best, fallen, price):
        due = _due(table, fallen, price, _not_due(table, fallen, price, due))
        best = _crossing(table, fallen, price, due)
    return best if due < len(table.xs) else first


def _first_due(table: Table, fallen: float, price: float) -> int:
    """The first point at which a poll is due, for a task that has come through the cumulative hazard `fallen`."""
    return _due(table, fallen, price, bisect.bisect_left(table.fallen, fallen + _LEAST_CHANCE * price))


def _surplus(table: Table, fallen: float, price: float, i: int) -> float:
    """By how much the completions since the last poll exceed what is worth a poll at point i."""
    return table.fallen[i] - fallen - completions_per_poll(price * table.hazards[i])


def _due(table: Table, fallen: float, price: float, i: int) -> int:
    """The first point from i on at which a poll is due; one beyond the last if there is none."""
    end = len(table.xs)
    while i < end and not _is_due(table, fallen, price, i):
        i += 1
    return i


def _not_due(table: Table, fallen: float, price: float, i: int) -> int:
    """The first point from i on at which none is due: behind a lull, the next mode of a mixture begins."""
    end = len(table.xs)
    while i < end and _is_due(table, fallen, price, i):
        i += 1
    return i


def _is_due(table: Table, fallen: float, price: float, i: int) -> bool:
    """Whether a poll is due at point i: the sign of `_surplus` without solving the equation, at a fourth of its time."""
    since = table.fallen[i] - fallen
    return since > _CERTAIN or math.expm1(since) - since >= price * table.hazards[i]


def _crossing(table: Table, fallen: float, price: float, i: int) -> float:
    """Where between the points i - 1 and i the poll falls due; beyond the table, by its last hazard."""
    if i == len(table.xs):
        hazard = max(table.hazards[-1], _LEAST_HAZARD)
        gap = completions_per_poll(price * hazard) / hazard
        return table.xs[-1] + max(0.0, gap - (table.fallen[-1] - fallen) / hazard)
    before, after = _surplus(table, fallen, price, i - 1), _surplus(table, fallen, price, i)
    # Neither sign is certain to the last digits.
    share = 1.0 if before >= 0 or after <= 0 else before / (before - after)
    return table.xs[i - 1] + share * (table.xs[i] - table.xs[i - 1])


def _pays(durations: Durations, x: float, fallen: float, price: float) -> bool:
    """Whether those that a poll at x sees would otherwise wait, until the one after it, for more than its price."""
    chance = durations.cumulative_hazard(x) - fallen
    if chance >= _SMALL_CHANCE:
        return True
    table, then = durations.table, fallen + chance
    after = _crossing(table, then, price, _first_due(table, then, price))
    return math.expm1(chance) * (after - x) >= price
