"""How durations are learned from tasks that are only polled from time to time."""

from __future__ import annotations

import functools
import itertools
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulated, simulate

from foxapi_async import Cadence, ConfigurationError, Estimates
from foxapi_async._cadence.estimates import (
    MEMORY,
    MOST_MODELS,
    SHORTEST_MEMORY,
    Estimator,
    ModelEstimates,
    model_estimates,
    price_book,
)
from foxapi_async._cadence.forecast import Forecast, TaskForecast, forecast_by_time
from foxapi_async._cadence.priors import TIMED, is_usable
from foxapi_async._policy.prices import Price, Priced


def median(estimator: Estimator) -> float:
    """The expected median ratio."""
    return estimator.durations.quantile(math.log(2))


def share_before(estimator: Estimator, x: float) -> float:
    """The expected share of tasks that end before x."""
    return 1 - math.exp(-estimator.durations.cumulative_hazard(x))


def central_spread(estimator: Estimator) -> float:
    """Half of the logarithm between the quantiles at one standard deviation of a normal on both sides of its
    middle.
    """
    low, high = (estimator.durations.quantile(-math.log(1 - share)) for share in (0.1587, 0.8413))
    return math.log(high / low) / 2


def lognormal(chance: random.Random, centre: float, spread: float):
    """Durations of tasks, one after the other."""
    return (math.exp(chance.gauss(centre, spread)) for _ in itertools.count())


# Learning from two hundred tasks.


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spread", [0.15, 0.35])
@pytest.mark.parametrize("centre", [-0.7, 0.0, 0.7])
def test_two_hundred_tasks_teach_centre_and_spread(seed, centre, spread):
    """Observed only by the cadence's own polls, with some in flight, they give the true median and spread."""
    model = ModelEstimates()
    chance = random.Random(f"{seed} {centre} {spread}")
    simulate(model, (45 * x for x in lognormal(chance, centre, spread)), 200, estimate=45.0, every=2.0)

    assert math.isclose(centre, math.log(median(model.timed)), abs_tol=0.35 * spread + 0.02)
    assert 0.75 * spread < central_spread(model.timed) < 1.4 * spread


@pytest.mark.parametrize("seed", range(4))
def test_tasks_in_flight_do_not_bias_it(seed):
    """A hundred tasks of 30 to 60 s, all 40 s old: the mean of those that ended is too low, the learned value
    is not.
    """
    chance = random.Random(seed)
    model = ModelEstimates()
    truth = [45 * math.exp(chance.gauss(0.0, 0.3)) for _ in range(200)]
    tasks = [Simulated(model, duration, 45.0) for duration in truth]
    for task in tasks:
        task.watch(until=40.0)
    finished = [duration for duration in truth if duration < 40]

    naive = math.exp(sum(math.log(duration / 45) for duration in finished) / len(finished))
    assert len(finished) < 110
    assert naive < 0.8
    assert 0.9 < median(model.timed) < 1.12


@pytest.mark.parametrize("estimate", [None, 0, 0.0, -5, math.nan, 1e9, pytest.param(10**400, id="huge")])
def test_without_a_usable_estimate_the_service_is_learned_by_itself(estimate):
    """Absent, zero, negative and absurd estimates share one distribution of seconds; usable ones have their own."""
    model = ModelEstimates()
    chance = random.Random(5)
    before = median(model.timed)
    simulate(model, (70 * x for x in lognormal(chance, 0.0, 0.1)), 150, estimate=estimate)

    assert not is_usable(estimate)
    assert before == median(model.timed)
    assert 66 < forecast_by_time(model, estimate).remaining(0.0) < 74
    assert 66 < TaskForecast(model, estimate).remaining(0.0) < 74


@pytest.mark.parametrize("ratio", [0.02, 0.1, 10, 100, 1000])
def test_an_estimate_in_another_unit_is_learned(ratio):
    """If the service's estimate is in minutes, or always the same, its ratio is still learned."""
    model = ModelEstimates()
    chance = random.Random(6)
    estimate = 60 / ratio
    lags = simulate(model, (60 * x for x in lognormal(chance, 0.0, 0.1)), 150, estimate=estimate)

    assert math.isclose(ratio, median(model.timed), rel_tol=0.12)
    assert sum(task.poll_ages for task in lags[-50:]) / 50 < 20


def test_cache_hits_get_a_component_of_their_own():
    """If one task in four ends at once, that share is expected to, and the others keep their spread."""
    model = ModelEstimates()
    chance = random.Random(8)
    durations = (
        0.8 * math.exp(chance.gauss(0, 0.3))
        if chance.random() < 0.25
        else 45 * math.exp(chance.gauss(0, 0.12))
        for _ in itertools.count()
    )
    tasks = simulate(model, durations, 300, estimate=45.0)

    assert math.isclose(0.25, share_before(model.timed, 0.2), abs_tol=0.08)
    assert math.isclose(share_before(model.timed, 0.6), share_before(model.timed, 0.2), abs_tol=0.02)
    assert min(task.first for task in tasks[-50:]) < 3


@pytest.mark.thorough
def test_stuck_tasks_do_not_spoil_the_rest():
    """If one task in twenty takes four times as long, the others are polled as without these."""
    model, pure = ModelEstimates(), ModelEstimates()
    chance = random.Random(9)
    usual = [45 * math.exp(chance.gauss(0, 0.1)) for _ in range(300)]
    mixed = [duration * (4 if i % 20 == 19 else 1) for i, duration in enumerate(usual)]
    simulate(pure, iter(usual), 300, estimate=45.0)
    tasks = simulate(model, iter(mixed), 300, estimate=45.0)

    assert math.isclose(0.05, 1 - share_before(model.timed, 1.6), abs_tol=0.03)
    assert math.isclose(median(pure.timed), median(model.timed), rel_tol=0.03)
    assert sum(task.poll_ages for i, task in enumerate(tasks[200:], 200) if i % 20 != 19) / 95 < 10


@pytest.mark.thorough
def test_learning_reduces_the_cost():
    """After a hundred tasks with an estimate that is twice too long, lag and polls together cost at least a
    third less.
    """
    chance = random.Random(10)
    durations = [22 * math.exp(chance.gauss(0, 0.15)) for _ in range(400)]
    price = Cadence().poll_price
    learned = simulate(ModelEstimates(), iter(durations), 400, estimate=45.0)[100:]
    not_learned = [Simulated(ModelEstimates(), duration, 45.0) for duration in durations[100:]]
    for task in not_learned:
        task.watch()

    def cost(tasks: list[Simulated]) -> float:
        return sum(task.lag + price * task.poll_ages for task in tasks)

    assert cost(learned) < 0.67 * cost(not_learned)


# Forgetting.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.6, 1 / 1.6])
@pytest.mark.thorough
def test_it_follows_a_service_that_changes(seed, factor):
    """If tasks begin to take 1.6 times as long, or as short, the median has followed after a hundred of them."""
    model = ModelEstimates()
    chance = random.Random(seed)
    usual = lognormal(chance, 0.0, 0.15)
    simulate(model, (45 * x for x in usual), 300, estimate=45.0)
    simulate(model, (45 * factor * x for x in usual), 100, estimate=45.0)

    assert math.isclose(factor, median(model.timed), rel_tol=0.12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.6, 1 / 1.6])
@pytest.mark.thorough
def test_it_follows_a_change_also_behind_tasks_in_flight(seed, factor):
    """If twenty tasks are in flight at a time, it has followed after two hundred of them."""
    model = ModelEstimates()
    chance = random.Random(seed)
    usual = lognormal(chance, 0.0, 0.15)
    simulate(model, (45 * x for x in usual), 300, estimate=45.0, every=3.0)
    simulate(model, (45 * factor * x for x in usual), 200, estimate=45.0, every=3.0)

    assert math.isclose(factor, median(model.timed), rel_tol=0.12)


def test_the_memory_shortens_when_tasks_end_at_another_pace():
    """While tasks take the expected time, 150 are remembered; after a change fewer, but never under ten."""
    model = ModelEstimates()
    chance = random.Random(2)
    simulate(model, (45 * x for x in lognormal(chance, 0.0, 0.15)), 400, estimate=45.0)
    usual = model.timed._memory()
    shortest = []
    for _ in range(40):
        simulate(model, (45 * x for x in lognormal(chance, 0.7, 0.15)), 1, estimate=45.0)
        shortest.append(model.timed._memory())

    assert MEMORY / 2 < usual <= MEMORY
    assert SHORTEST_MEMORY <= min(shortest) < MEMORY / 5


def test_a_young_cohort_does_not_shorten_the_memory():
    """A thousand tasks that were submitted together, and are all young, are not a sign of a change."""
    model = ModelEstimates()
    chance = random.Random(4)
    simulate(model, (45 * x for x in lognormal(chance, 0.0, 0.15)), 400, estimate=45.0)
    tasks = [Simulated(model, 45 * math.exp(chance.gauss(0.0, 0.15)), 45.0) for _ in range(1000)]
    for task in tasks:
        task.watch(until=25.0)
    young = model.timed._memory()

    assert MEMORY == young
    assert 0.95 < median(model.timed) < 1.05


# Counting.


def test_what_is_in_flight_is_counted():
    """Tasks that ended, or are not polled any more, are not in flight in any table."""
    model = ModelEstimates()
    chance = random.Random(3)
    simulate(
        model,
        (45 * x for x in lognormal(chance, 0.0, 0.3)),
        30,
        estimate=45.0,
        progress=lambda done: 100 * done,
    )
    task_forecast = TaskForecast(model, 45.0)
    task_forecast.runs(10.0, 25.0)

    assert 1 == model.timed._in_flight
    assert 1 == sum(estimator._in_flight for estimator in model.by_progress)
    task_forecast.close()
    assert [0] * 8 == [e._in_flight for e in (model.timed, model.untimed, *model.by_progress)]


def test_an_attached_task_teaches_nothing_by_time():
    """The task is seen only because it still ran when it was attached, so its duration would be biased."""
    model = ModelEstimates()
    before = model.timed.to_dict(), model.timed.durations
    task_forecast = TaskForecast(model, 45.0, learned_from=False)
    task_forecast.runs(100.0, None)
    task_forecast.ended(200.0)
    task_forecast.close()

    assert before == (model.timed.to_dict(), model.timed.durations)
    assert not model.timed.learned
    assert 0 == model.timed._in_flight


def test_readings_of_the_past_teach_nothing():
    """A reading that is not younger than the last has no new information."""
    model = ModelEstimates()
    task_forecast = TaskForecast(model, 45.0)
    task_forecast.runs(10.0, None)
    before = model.timed.to_dict()
    task_forecast.runs(10.0, None)
    task_forecast.runs(5.0, None)
    task_forecast.ended(9.0)

    assert before == model.timed.to_dict()
    assert not model.timed.learned


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e9), st.none() | st.floats(-10, 200) | st.just(math.nan), st.booleans()),
        max_size=40,
    ),
    st.none() | st.floats(0, 1e5),
)
@pytest.mark.thorough
def test_any_observation_keeps_a_distribution(readings, estimate):
    """Whatever ages and progress a service shows, the expectation stays a distribution."""
    model = ModelEstimates()
    for age, progress, ends in readings:
        task_forecast = TaskForecast(model, estimate)
        task_forecast.runs(age / 3, progress)
        task_forecast.runs(age / 2, None if progress is None else progress + 10)
        if ends:
            task_forecast.ended(age)
        for forecast in task_forecast.forecasts:
            assert age <= Cadence()._next_poll(age, forecast) <= age + 30
            assert 0 <= forecast.remaining(age) < math.inf
        task_forecast.close()
    saved = json.loads(json.dumps(model.to_dict(), allow_nan=False))

    ModelEstimates().load(saved)
    assert all(math.isfinite(trust) for trust in model._trust)
    assert 0 == model.timed._in_flight == model.untimed._in_flight


# Saving and loading.


def taught() -> Estimates:
    """Estimates that three hundred tasks of two models have taught."""
    estimates = Estimates()
    chance = random.Random(1)
    usual = (45 * x for x in lognormal(chance, -0.3, 0.15))
    simulate(model_estimates(estimates, "fox"), usual, 300, estimate=45.0, progress=lambda done: 100 * done)
    simulate(model_estimates(estimates, "owl"), usual, 100, estimate=None)
    return estimates


@pytest.mark.thorough
def test_a_round_trip_keeps_what_was_learned():
    """Saved as JSON and loaded, it gives nearly the same polls, and trusts the same progress."""
    before = taught()
    after = Estimates.from_dict(json.loads(json.dumps(before.to_dict(), allow_nan=False)))
    cadence = Cadence()

    for model, estimate in (("fox", 45.0), ("owl", None)):
        polls = [
            [
                cadence._next_poll(age, forecast_by_time(model_estimates(known, model), estimate))
                for age in (27.0, 30.0, 40.0)
            ]
            for known in (before, after)
        ]
        plans = [cadence.explain(estimate, estimates=known, model=model) for known in (before, after)]
        assert polls[0] == pytest.approx(polls[1], rel=0.05)
        assert plans[0].mean_polls == pytest.approx(plans[1].mean_polls, rel=0.2)
    assert [model_estimates(before, "fox").trusts(group) for group in range(6)] == [
        model_estimates(after, "fox").trusts(group) for group in range(6)
    ]
    assert any(model_estimates(after, "fox").trusts(group) for group in range(6))


@pytest.mark.thorough
def test_what_was_saved_counts_as_fifty_tasks():
    """The service may have changed since: after 120 tasks of another kind, these decide."""
    known = model_estimates(Estimates.from_dict(taught().to_dict()), "fox")
    chance = random.Random(2)

    assert 45 < sum(row.ended for row in known.timed._table.rows()) <= 50.01
    assert math.isclose(math.exp(-0.3), median(known.timed), rel_tol=0.05)
    simulate(known, (90 * x for x in lognormal(chance, 0.0, 0.15)), 120, estimate=45.0)
    assert math.isclose(2.0, median(known.timed), rel_tol=0.12)


def test_nothing_learned_is_saved_as_nothing():
    """New estimates can be saved too, and change no poll."""
    after = Estimates.from_dict(json.loads(json.dumps(Estimates().to_dict())))

    assert "<Estimates of nothing yet>" == repr(after)
    assert Cadence().explain(45) == Cadence().explain(45, estimates=after)


def saved_and_loaded(model: ModelEstimates, change=lambda state: None) -> ModelEstimates:
    """The estimates of a model in the next session."""
    state = json.loads(json.dumps(model.to_dict()))
    change(state)
    loaded = ModelEstimates()
    loaded.load(state)
    return loaded


def test_the_unit_of_videos_is_saved():
    """So the next session expects them after as many seconds, also if a reply does not name the type."""
    model = ModelEstimates()
    simulate(model, iter([200.0] * 20), 20, estimate=None, kind="video")
    loaded = saved_and_loaded(model)

    assert 200 == pytest.approx(TaskForecast(loaded, None).remaining(0.0), rel=0.2)
    assert 200 == pytest.approx(forecast_by_time(loaded, None).remaining(0.0), rel=0.2)


def test_a_state_without_a_unit_has_that_of_images():
    """It was saved before videos had one, and what it learned stays."""
    model = ModelEstimates()
    simulate(model, iter([70.0] * 20), 20, estimate=None)
    loaded = saved_and_loaded(model, lambda state: state.pop("usual_seconds"))

    assert 70 == pytest.approx(TaskForecast(loaded, None, kind="video").remaining(0.0), rel=0.2)


def test_without_tasks_a_saved_state_has_no_unit():
    """The first task of the next session decides."""
    loaded = saved_and_loaded(ModelEstimates(), lambda state: state.pop("usual_seconds"))

    assert TaskForecast(ModelEstimates(), None, kind="video").forecasts == (
        TaskForecast(loaded, None, kind="video").forecasts
    )


def damaged(change) -> dict:
    """A saved state with one fault."""
    saved = json.loads(json.dumps(taught_once()))
    change(saved, saved["models"]["fox"])
    return saved


@functools.cache
def taught_once() -> dict:
    estimates = Estimates()
    simulate(model_estimates(estimates, "fox"), iter([44.0, 45.0, 50.0]), 3, estimate=45.0)
    return estimates.to_dict()


DAMAGE = {
    "another format": lambda saved, fox: saved.update(format=2),
    "no format": lambda saved, fox: saved.pop("format"),
    "no models": lambda saved, fox: saved.pop("models"),
    "models in a list": lambda saved, fox: saved.update(models=[fox]),
    "a model that is none": lambda saved, fox: saved["models"].update(fox=None),
    "a table too short": lambda saved, fox: fox["timed"]["ended"].pop(),
    "tables of two sizes": lambda saved, fox: fox["timed"]["running"].append(0.0),
    "NaN": lambda saved, fox: fox["untimed"]["ended"].__setitem__(3, math.nan),
    "infinity": lambda saved, fox: fox["untimed"]["ended"].__setitem__(3, math.inf),
    "negative": lambda saved, fox: fox["timed"]["running"].__setitem__(0, -0.001),
    "huge": lambda saved, fox: fox["timed"]["running"].__setitem__(0, 10**400),
    "too much in all": lambda saved, fox: fox["timed"].update(
        ended=[1e308] * len(TIMED.grid.points), running=[1e308] * len(TIMED.grid.points)
    ),
    "no number": lambda saved, fox: fox["timed"]["running"].__setitem__(0, "many"),
    "no table": lambda saved, fox: fox.update(timed=[]),
    "too few progresses": lambda saved, fox: fox["by_progress"].pop(),
    "too many trusts": lambda saved, fox: fox.update(trust=[0.0] * 7),
    "a trust that is none": lambda saved, fox: fox.update(trust=[math.nan] * 6),
    "a unit that is none": lambda saved, fox: fox.update(usual_seconds="many"),
    "a unit of nothing": lambda saved, fox: fox.update(usual_seconds=0),
    "a huge unit": lambda saved, fox: fox.update(usual_seconds=10**400),
    "no unit for what was learned": lambda saved, fox: fox.update(untimed=fox["timed"], usual_seconds=None),
    "trust in words": lambda saved, fox: fox.update(trust=["much"] * 6),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_refused(change):
    """The one error says what to do."""
    with pytest.raises(ConfigurationError, match="delete them to start again") as caught:
        Estimates.from_dict(damaged(change))

    assert caught.value.__context__ is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=8,
)


@given(json_values)
@pytest.mark.thorough
def test_no_json_value_raises_anything_else(value):
    """Any JSON value is refused as a ConfigurationError, also inside a state that is otherwise correct."""
    for saved in (
        value,
        {"format": value, "models": {}},
        {"format": 1, "models": value},
        {"format": 1, "models": {"fox": value}},
        damaged(lambda _, fox: fox.update(timed=value)),
        damaged(lambda _, fox: fox["timed"].update(ended=value)),
        damaged(lambda _, fox: fox.update(by_progress=value)),
        damaged(lambda _, fox: fox.update(trust=value)),
        damaged(lambda _, fox: fox.update(usual_seconds=value)),
    ):
        try:
            estimates = Estimates.from_dict(saved)
        except ConfigurationError:
            continue
        assert math.isfinite(Cadence().explain(45, estimates=estimates, model="fox").mean_lag)


# Many models.


@pytest.mark.thorough
def test_models_are_learned_separately():
    """One model's tasks teach nothing about another model."""
    estimates = taught()

    assert "<Estimates of fox, owl>" == repr(estimates)
    assert not model_estimates(estimates, "owl").timed.learned
    assert not model_estimates(estimates, "fox").untimed.learned
    assert model_estimates(estimates, "fox") is model_estimates(estimates, "fox")


def test_invented_models_do_not_pile_up():
    """Only the latest models are remembered, so a service that invents names costs no more."""
    estimates = Estimates()
    kept = model_estimates(estimates, "fox")
    for i in range(3 * MOST_MODELS):
        model_estimates(estimates, f"model-{i}")
        model_estimates(estimates, "fox")

    assert MOST_MODELS == len(estimates.to_dict()["models"])
    assert kept is model_estimates(estimates, "fox")


# How the share of an interval is guessed.


@given(st.floats(1e-9, 1e6), st.floats(1e-9, 1e6))
def test_a_task_that_ended_counts_once(x, y):
    """The interval in which it may have ended can have any width and place."""
    estimator = Estimator(TIMED)
    before, after = sorted([x, y])
    weight = estimator.add_task()
    estimator.runs(weight, 0.0, before)
    estimator.ended(weight, before, after)

    assert 1 == pytest.approx(sum(row.ended for row in estimator._table.rows()), abs=1e-4)
    assert 0 == pytest.approx(sum(row.running for row in estimator._table.rows()), abs=1e-4)


def test_the_share_of_an_interval_follows_what_is_known():
    """If ends are known to be near 1, an end that was long unnoticed is also guessed to be there."""
    model = ModelEstimates()
    simulate(model, (45 * x for x in lognormal(random.Random(1), 0.0, 0.1)), 200, estimate=45.0)
    estimator, grid = model.timed, TIMED.grid
    shares = list(estimator._shares(0.3, 5.0))
    near = sum(share for position, share in shares if abs(grid.at(position)[0]) < 0.35)

    assert 1 == pytest.approx(sum(share for _, share in shares))
    assert near > 0.9


def test_the_forecast_counts_in_seconds():
    """Remaining, running and hazard are those of the ratio, in the estimate's unit."""
    durations = Estimator(TIMED).durations
    one, many = Forecast(1.0, durations), Forecast(45.0, durations)

    assert 45 * one.remaining(0.7) == pytest.approx(many.remaining(0.7 * 45))
    assert one.running(0.7) == pytest.approx(many.running(0.7 * 45))
    assert one.hazard(0.7) / 45 == pytest.approx(many.hazard(0.7 * 45))


# Prices.


def test_prices_are_saved_with_the_durations():
    """The next session knows them."""
    estimates = Estimates()
    price_book(estimates).learn(Priced("fox"), 5)
    again = Estimates.from_dict(json.loads(json.dumps(estimates.to_dict())))

    assert Price(5, 1) == price_book(again).price_of(Priced("fox"))


def test_a_file_without_prices_is_read():
    """Older versions wrote none."""
    saved = Estimates().to_dict()
    del saved["prices"]

    assert [] == price_book(Estimates.from_dict(saved)).to_list()


@pytest.mark.parametrize("prices", [None, 5, [{"model": "fox"}]], ids=str)
def test_broken_prices_are_refused(prices):
    """As broken durations are."""
    with pytest.raises(ConfigurationError, match="not saved estimates"):
        Estimates.from_dict(Estimates().to_dict() | {"prices": prices})
