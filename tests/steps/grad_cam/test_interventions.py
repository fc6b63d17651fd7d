"""Interventions on networks whose evidence is known pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench_core.metrics.map_tables import INTERVENED
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.interventions import (
    Imputer,
    Probe,
    blurred,
    evidence,
    mean_color,
    means,
    random_map,
)
from bench_steps.grad_cam.options import IMPUTERS

SIDE = 16
Array = NDArray[np.float32]
MASK = np.zeros((SIDE, SIDE), dtype=bool)
MASK[4:8, 4:8] = True
MARKER = np.zeros((SIDE, SIDE), dtype=np.float32)
MARKER[14:, 14:] = 1


def image() -> Array:
    found = np.zeros((1, SIDE, SIDE), dtype=np.float32)
    found[0][MASK] = 1
    found[0] += MARKER
    return found


def looks_at_the_structure(images: Array) -> Array:
    """One logit, high where the pixel itself is bright; the marker is none of its business."""
    return (20 * (images - 0.5) * (1 - MARKER)).astype(np.float32)


def looks_at_the_marker(images: Array) -> Array:
    """One logit, high at the structure's place as far as the marker is bright."""
    bright = (images * MARKER).sum(axis=(1, 2, 3)) / MARKER.sum()
    return (np.where(MASK, 1.0, -1.0) * bright[:, None, None, None]).astype(np.float32)


def two_classes(images: Array) -> Array:
    """Background and two classes; the second one lies in the corner and hears of the first one's pixels."""
    heard = (images[:, 0] * MASK).sum(axis=(1, 2)) / MASK.sum()
    second = MARKER * 8 * heard[:, None, None]
    first = 8 * images[:, 0] * (MARKER == 0)
    return np.stack([np.full_like(first, 4), first, second], axis=1).astype(np.float32)


def probe(logits_of: object, **more: object) -> Probe:
    settings: dict[str, object] = {"image": image(), "mask": MASK, "channel": 0, **more}
    return Probe(logits_of=logits_of, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("imputer", IMPUTERS)
def test_what_is_lost_tells_where_a_network_looks(imputer: Imputer) -> None:
    structure, marker = MASK.astype(np.float32), MARKER
    honest, short = probe(looks_at_the_structure), probe(looks_at_the_marker)
    right, wrong = honest.of_map(structure, 4, imputer), short.of_map(marker, 4, imputer)
    assert right["loss_inside"] == pytest.approx(0.5) if imputer == "mean" else right["loss_inside"] > 0.2
    assert right["loss_outside"] == 0 < right["deletion_gain"]
    assert wrong["loss_outside"] > 0.2 > 0 == wrong["loss_inside"]
    assert wrong["deletion_gain"] > 0
    assert short.of_map(structure, 4, imputer)["loss_outside"] < wrong["loss_outside"]


def test_shares_follow_from_the_pixels_that_are_replaced() -> None:
    # The 16 pixels of the structure come first, then the rest in any order: 1/32 of 256 pixels are 8 of them.
    numbers = probe(looks_at_the_structure, steps=5).of_map(MASK.astype(np.float32), 4, "mean")
    assert numbers["deletion_inside"] == pytest.approx(8 / 16 / 5)
    assert numbers["insertion_inside"] == pytest.approx((4 + 0.5) / 5)
    assert numbers["deletion_outside"] == numbers["insertion_outside"] == 0
    assert tuple(numbers) == INTERVENED
    assert numbers["loss"] == 1
    assert np.isnan(numbers["leakage"])


def test_leakage_is_what_other_classes_lose() -> None:
    found = probe(two_classes, channel=1).of_map(MASK.astype(np.float32), 4, "mean")
    assert found["loss"] > 0.99
    assert found["leakage"] == pytest.approx(1)
    alone = probe(two_classes, channel=2, mask=MARKER > 0).of_map(MARKER, 4, "mean")
    assert alone["leakage"] < 0.01


def test_a_random_map_gains_nothing_over_itself() -> None:
    honest = probe(looks_at_the_structure, seed=3)
    chance = random_map(SIDE, 4, derive_seed("random map", 3, 4))
    numbers = honest.of_map(chance, 4, "blur")
    assert numbers["deletion_gain"] == numbers["insertion_gain"] == 0


def test_equal_pixels_are_ordered_by_chance() -> None:
    nearly_nothing = np.zeros((SIDE, SIDE), dtype=np.float32)
    nearly_nothing[0, 0] = 1
    numbers = probe(looks_at_the_structure).of_map(nearly_nothing, 4, "mean")
    assert abs(numbers["deletion_gain"]) < 0.1


def test_the_network_sees_bounded_batches_and_nothing_twice() -> None:
    sizes: list[int] = []

    def counted(images: Array) -> Array:
        sizes.append(len(images))
        return looks_at_the_structure(images)

    found = probe(counted, steps=3, batch=4)
    for _ in range(2):
        found.of_map(MASK.astype(np.float32), 4, "mean")
    # Once the image and the random map, then for each map deletions, insertions and three losses.
    assert max(sizes) == 4
    assert sum(sizes) == 1 + 6 + 2 * (6 + 3)


@pytest.mark.parametrize("value", [0.0, 2.0, float("nan")])
def test_a_map_that_says_nothing_has_no_numbers(value: float) -> None:
    found = probe(looks_at_the_structure).of_map(np.full((SIDE, SIDE), value, np.float32), 4, "mean")
    assert tuple(found) == INTERVENED
    assert all(np.isnan(list(found.values())))


def test_without_evidence_shares_are_undefined_and_not_zero() -> None:
    blind = probe(lambda images: np.full_like(images, -1)).of_map(MASK.astype(np.float32), 4, "mean")
    assert all(np.isnan(list(blind.values())))
    empty = probe(looks_at_the_structure, mask=np.zeros_like(MASK)).of_map(image()[0], 4, "mean")
    assert np.isnan(empty["deletion_inside"])
    assert np.isnan(empty["loss_inside"])
    assert empty["deletion_outside"] < 1


def test_pixels_that_do_not_count_have_no_evidence() -> None:
    counted = ~MASK
    found = probe(looks_at_the_structure, counted=counted).of_map(MASK.astype(np.float32), 4, "mean")
    assert np.isnan(found["deletion_inside"])
    assert np.isnan(found["deletion_outside"])


@given(st.integers(0, 99), st.floats(-50, 50))
def test_evidence_is_positive_log_odds_whatever_is_added(seed: int, shift: float) -> None:
    logits = (8 * np.random.default_rng(seed).standard_normal((2, 3, 2, 2))).astype(np.float32)
    powers = np.exp(logits.astype(np.float64))
    share = powers / powers.sum(axis=1, keepdims=True)
    expected = np.maximum(np.log(share / (1 - share)), 0)
    assert evidence(logits) == pytest.approx(expected, abs=1e-3)
    assert evidence(logits + np.float32(shift)) == pytest.approx(expected, abs=1e-2)
    assert evidence(logits[:, :1]) == pytest.approx(np.maximum(logits[:, :1], 0))


def test_evidence_of_certain_logits_is_finite() -> None:
    logits = np.array([[[[1e4]], [[-1e4]], [[0.0]]]], dtype=np.float32)
    assert np.isfinite(evidence(logits)).all()


def test_random_maps_are_as_coarse_as_the_layer_and_seeded() -> None:
    coarse, fine = random_map(32, 8, 1), random_map(32, 1, 1)
    assert np.abs(np.diff(coarse, axis=0)).max() < 0.2 < np.abs(np.diff(fine, axis=0)).max()
    assert np.array_equal(coarse, random_map(32, 8, 1))
    assert not np.array_equal(coarse, random_map(32, 8, 2))
    assert np.array_equal(fine, np.random.default_rng(1).random((32, 32)).astype(np.float32))


def test_imputers_keep_means_and_take_structures_away() -> None:
    random = np.random.default_rng(0).random((3, 40, 40)).astype(np.float32)
    assert mean_color(random) == pytest.approx(
        np.broadcast_to(random.mean((1, 2))[:, None, None], (3, 40, 40))
    )
    smooth = blurred(random)
    assert smooth.std() < 0.2 * random.std()
    assert smooth.mean() == pytest.approx(random.mean(), abs=0.02)
    assert blurred(np.full((1, 8, 8), 0.3, np.float32)) == pytest.approx(0.3)


def test_means_leave_out_what_is_undefined() -> None:
    nan = float("nan")
    found = means([{"a": 1.0, "b": nan}, {"a": nan, "b": nan}, {"a": 3.0, "b": nan}])
    assert found["a"] == 2
    assert np.isnan(found["b"])
    assert means([]) == {}
