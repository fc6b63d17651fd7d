from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.protocol.schedule import factor, learning_rate
from bench_core.spec.protocol import Constant, Cosine, Falling, Poly, Protocol, Rex, Schedule

_shared = {"step": st.sampled_from(["epoch", "step"]), "min_lr": st.floats(0, 1e-4)}
falling = st.one_of(
    st.builds(Rex, alpha=st.floats(0.05, 2), beta=st.floats(0, 2), **_shared),
    st.builds(Cosine, name=st.just("cosine"), **_shared),
    st.builds(Poly, name=st.just("poly"), power=st.floats(0.1, 4), **_shared),
)
schedules = st.one_of(falling, st.just(Constant(name="constant")))


def named(name: str) -> Schedule:
    return Protocol.model_validate(
        {"evaluate": {"epochs": 1}, "learning_rate": 1e-3, "schedule": name}
    ).schedule


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 1.0), (1, 0.996656), (37, 0.859316), (75, 0.666667), (112, 0.404255), (149, 0.013245)],
)
def test_rex_has_the_studys_values_over_150_epochs(epoch: int, expected: float) -> None:
    assert learning_rate(Rex(), 1.0, epoch, 0, 150, 10) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("cosine", [1.0, 0.5, 0.146447]),
        ("poly", [1.0, 0.535887, 0.287175]),
        ("rex", [1.0, 0.666667, 0.4]),
    ],
)
def test_known_values_at_the_start_the_half_and_three_quarters(name: str, values: list[float]) -> None:
    found = [factor(named(name), progress) for progress in (0.0, 0.5, 0.75)]
    assert found == pytest.approx(values, abs=1e-6)


@given(schedules, st.integers(1, 40), st.integers(1, 9), st.floats(1e-6, 1.0))
def test_rates_never_rise_and_stay_between_floor_and_start(
    schedule: Schedule, epochs: int, steps: int, base: float
) -> None:
    rates = [
        learning_rate(schedule, base, epoch, step, epochs, steps)
        for epoch in range(epochs)
        for step in range(steps)
    ]
    start = base / (schedule.alpha + schedule.beta) if isinstance(schedule, Rex) else base
    floor = schedule.min_lr if isinstance(schedule, Falling) else 0.0
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[0] == pytest.approx(max(start, floor))
    assert min(rates) >= floor
    assert max(rates) <= max(start * (1 + 1e-12), floor)


@given(falling, st.integers(1, 200), st.integers(1, 500), st.data())
def test_both_evaluations_agree_exactly_where_an_epoch_starts(
    schedule: Falling, epochs: int, steps: int, data: st.DataObject
) -> None:
    epoch = data.draw(st.integers(0, epochs - 1))
    by_epoch = schedule.model_copy(update={"step": "epoch"})
    by_step = schedule.model_copy(update={"step": "step"})
    assert learning_rate(by_epoch, 0.1, epoch, 0, epochs, steps) == learning_rate(
        by_step, 0.1, epoch, 0, epochs, steps
    )


@given(st.integers(2, 50), st.integers(2, 20))
def test_the_rate_is_constant_within_an_epoch_only_when_evaluated_by_epoch(epochs: int, steps: int) -> None:
    first = [learning_rate(Rex(step=step), 1.0, 1, 0, epochs, steps) for step in ("epoch", "step")]
    last = [learning_rate(Rex(step=step), 1.0, 1, steps - 1, epochs, steps) for step in ("epoch", "step")]
    assert last[0] == first[0]
    assert last[1] < first[1]


def test_the_floor_is_absolute() -> None:
    assert learning_rate(Rex(min_lr=1e-5), 1e-4, 149, 0, 150, 1) == 1e-5
    assert learning_rate(Rex(min_lr=1e-5), 1e-4, 0, 0, 150, 1) == 1e-4
