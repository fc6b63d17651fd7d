"""Scales: unit, decimals and direction of what is printed and compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench_core.metrics.scale import PERCENT, Scale, common_scale, scale_of
from bench_core.plugins.wiring import load_registry

MM = Scale("mm", "lower")
FRACTIONS = st.floats(0, 1)


def test_values_are_printed_in_their_unit() -> None:
    assert (PERCENT.text(0.12345), PERCENT.text(0.12345, 1), PERCENT.full(0.5)) == ("12.3", "12.35", "50.0 %")
    assert (MM.text(1.234), MM.full(1.234), MM.signed(-1.234)) == ("1.23", "1.23 mm", "−1.23")
    assert (PERCENT.signed(0.01), PERCENT.points, MM.points) == ("+1.0", "points", "mm")


def test_declarations_decide() -> None:
    registry = load_registry()
    assert scale_of(registry.metric("miou")) == PERCENT
    assert scale_of(registry.metric("nsd"), spacing=True) == PERCENT
    assert scale_of(registry.metric("hd95"), spacing=True) == Scale("mm", "lower")
    assert scale_of(registry.metric("hd95")) == Scale("px", "lower")
    assert common_scale([MM, MM]) == MM
    assert common_scale([MM, Scale("px", "lower")]) is common_scale([]) is None


@given(FRACTIONS, FRACTIONS)
def test_lower_is_better_mirrors_higher(one: float, other: float) -> None:
    down = Scale("fraction", "lower")
    assert PERCENT.gain(one, other) == -down.gain(one, other)
    assert (PERCENT.order(one) < PERCENT.order(other)) == (down.order(one) > down.order(other))


@given(st.dictionaries(st.text(max_size=3), FRACTIONS, max_size=5))
def test_leaders_print_best_and_never_the_worst(values: dict[str, float]) -> None:
    for scale in (PERCENT, Scale("fraction", "lower"), MM):
        found = scale.leaders(values)
        printed = {name: float(scale.text(value)) for name, value in values.items()}
        if len(values) < 2 or (
            scale.worst is not None
            and all(value == float(scale.text(scale.worst)) for value in printed.values())
        ):
            assert not found
        else:
            best = max(printed.values()) if scale.better == "higher" else min(printed.values())
            assert found == {name for name, value in printed.items() if value == best}


def test_a_distance_of_zero_may_lead() -> None:
    assert MM.leaders({"a": 0.0, "b": 1.0}) == {"a"}
