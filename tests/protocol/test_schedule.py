from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import TrainingError
from bench_core.protocol.schedule import factor, learning_rate
from bench_core.spec.protocol import Constant, Cosine, Falling, Poly, Protocol, Rex, Schedule
from bench_core.spec.schedule import WarmupEpochs, WarmupSteps

_shared: dict[str, Any] = {"step": st.sampled_from(["epoch", "step"]), "min_lr": st.floats(0, 1e-4)}
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


warmups = st.one_of(
    st.builds(WarmupEpochs, epochs=st.integers(1, 5), factor=st.floats(1e-6, 0.999)),
    st.builds(WarmupSteps, steps=st.integers(1, 30), factor=st.floats(1e-6, 0.999)),
)


@given(schedules, warmups, st.integers(1, 12), st.integers(1, 9))
def test_a_warmup_rises_to_the_schedule_and_leaves_the_rest_of_it_alone(
    schedule: Schedule, warmup: WarmupEpochs | WarmupSteps, epochs: int, steps: int
) -> None:
    warmed = schedule.model_copy(update={"warmup": warmup})
    length = warmup.steps if isinstance(warmup, WarmupSteps) else warmup.epochs * steps
    if length >= epochs * steps:
        with pytest.raises(TrainingError, match="optimizer steps"):
            learning_rate(warmed, 0.1, 0, 0, epochs, steps)
        return
    made = [(epoch, step) for epoch in range(epochs) for step in range(steps)]
    with_it, without = (
        [learning_rate(item, 0.1, epoch, step, epochs, steps) for epoch, step in made]
        for item in (warmed, schedule)
    )
    assert with_it[length:] == without[length:]
    shares = [ours / theirs for ours, theirs in zip(with_it, without, strict=True)]
    assert shares[0] == pytest.approx(warmup.factor)
    rises = [later - earlier for earlier, later in pairwise(shares[: length + 1])]
    assert rises == pytest.approx([(1 - warmup.factor) / length] * length)


def test_a_warmup_is_pytorchs_linear_one_times_the_schedule() -> None:
    torch = pytest.importorskip("torch")
    schedule = Cosine(name="cosine", step="step", warmup=WarmupSteps(steps=5, factor=0.1))
    linear = torch.optim.lr_scheduler.LinearLR(
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), start_factor=0.1, total_iters=5
    )
    for made in range(12):
        epoch, step = divmod(made, 4)
        expected = 0.3 * factor(Cosine(name="cosine"), made / 12) * linear.get_last_lr()[0]
        assert learning_rate(schedule, 0.3, epoch, step, 3, 4) == pytest.approx(expected)
        linear.optimizer.step()
        linear.step()
