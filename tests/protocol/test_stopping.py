from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.protocol.stopping import BestCheckpoint, EarlyStopping
from bench_core.spec import protocol as spec

scores = st.floats(0, 1) | st.sampled_from([0.5, 0.501, 0.5005, math.nan])
histories = st.lists(scores, min_size=1, max_size=60)
rules = st.builds(
    spec.EarlyStopping, patience=st.integers(1, 6), min_delta=st.sampled_from([0.0, 0.001, 0.05])
)


def naive_stop(values: list[float], patience: int, min_delta: float) -> int | None:
    """The epoch after which the study's rule stops, recomputed from the whole history each epoch."""
    waits: list[bool] = []
    for epoch, value in enumerate(values):
        numbers = [earlier for earlier in values[:epoch] if not math.isnan(earlier)]
        waits.append(not (value > max(numbers) + min_delta if numbers else not math.isnan(value)))
        if len(waits) >= patience and all(waits[-patience:]):
            return epoch
    return None


@given(histories, rules)
def test_it_stops_where_a_naive_implementation_of_the_rule_stops(
    values: list[float], rule: spec.EarlyStopping
) -> None:
    stopping = EarlyStopping(rule)
    stops = [stopping.update({"miou": value}) for value in values]
    found = stops.index(True) if True in stops else None
    assert found == naive_stop(values, rule.patience, rule.min_delta)


@given(histories, rules, st.data())
def test_it_goes_on_from_its_saved_state(
    values: list[float], rule: spec.EarlyStopping, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    unbroken, first = EarlyStopping(rule), EarlyStopping(rule)
    for value in values[:cut]:
        unbroken.update({"miou": value})
        first.update({"miou": value})
    resumed = EarlyStopping(rule)
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert resumed.stopped == unbroken.stopped
    for value in values[cut:]:
        assert resumed.update({"miou": value}) == unbroken.update({"miou": value})


def test_a_value_that_creeps_up_moves_the_bar_along_and_stops() -> None:
    stopping = EarlyStopping(spec.EarlyStopping(patience=3, min_delta=0.001))
    values = [0.5, 0.5009, 0.5018, 0.5027]
    assert [stopping.update({"miou": value}) for value in values] == [False, False, False, True]
    assert stopping.best == 0.5027


def test_a_rise_of_exactly_min_delta_does_not_count() -> None:
    stopping = EarlyStopping(spec.EarlyStopping(patience=1, min_delta=0.25))
    assert not stopping.update({"miou": 0.5})
    assert stopping.update({"miou": 0.75})


def test_it_watches_the_metric_of_the_rule() -> None:
    stopping = EarlyStopping(spec.EarlyStopping(monitor="mrecall", patience=1))
    stopping.update({"miou": 0.1, "mrecall": 0.5})
    assert stopping.update({"miou": 0.9, "mrecall": 0.4})


@given(histories)
def test_without_a_rule_it_never_stops(values: list[float]) -> None:
    stopping = EarlyStopping(None)
    assert not any(stopping.update({"miou": value}) for value in values)
    assert not stopping.stopped


@given(histories)
def test_the_best_epoch_is_the_first_of_the_largest_numbers(values: list[float]) -> None:
    best = BestCheckpoint(spec.Best())
    kept = [epoch for epoch, value in enumerate(values) if best.update(epoch, {"miou": value})]
    numbers = [value for value in values if not math.isnan(value)]
    expected = values.index(max(numbers)) if numbers else 0
    assert best.epoch == expected == kept[-1]
    assert best.value == pytest.approx(values[expected], nan_ok=True)


@given(histories)
def test_last_keeps_every_epoch(values: list[float]) -> None:
    best = BestCheckpoint(spec.Last(choose="last"))
    assert all(best.update(epoch, {"miou": value}) for epoch, value in enumerate(values))
    assert best.epoch == len(values) - 1


@given(histories, st.data())
def test_the_choice_goes_on_from_its_saved_state(values: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    unbroken, resumed = (BestCheckpoint(spec.Best()) for _ in range(2))
    for epoch, value in enumerate(values[:cut]):
        unbroken.update(epoch, {"miou": value})
    resumed.load_state_dict(unbroken.state_dict())
    for epoch, value in enumerate(values[cut:], start=cut):
        assert resumed.update(epoch, {"miou": value}) == unbroken.update(epoch, {"miou": value})
    assert resumed.epoch == unbroken.epoch
