"""How scarce a limit makes the polls, and what a poll costs then."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._cadence.demand import Demand

rates = st.floats(5e-324, 1e308)


@given(st.lists(st.floats(0, 1e3), max_size=30), st.floats(0.1, 1e3))
def test_scarcity_is_the_square_of_demand_over_limit(demands, limit):
    """It is never below 1: if the limit is high enough, a poll costs its own price."""
    demand = Demand()
    for each in demands:
        demand.change(0.0, each)

    assert 1.0 == demand.scarcity(None)
    assert math.isclose(max(1.0, sum(demands) / limit) ** 2, demand.scarcity(limit), rel_tol=1e-6)


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), max_size=100))
def test_ended_tasks_leave_no_demand(tasks):
    """Shares that change and end leave no demand behind."""
    demand = Demand()
    for first, _ in tasks:
        demand.change(0.0, first)
    for first, second in tasks:
        demand.change(first, second)
    for _, second in tasks:
        demand.change(second, 0.0)

    assert math.isclose(0.0, demand.total, abs_tol=1e-6)
    assert 1.0 == demand.scarcity(1e-3)


@given(rates, rates)
def test_no_limit_is_too_small_and_no_demand_too_great(total, limit):
    """Scarcity may be infinite without an error."""
    demand = Demand()
    demand.change(0.0, total)

    assert demand.scarcity(limit) >= 1
