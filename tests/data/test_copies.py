"""Which images count as copies: equal ones, altered ones, and those of the study's rule."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench_core.data.copies import equal_images, joined, near_pairs, partition, study_pairs
from bench_core.data.grouping import Duplicates, apply
from bench_core.data.looks import bits_apart, hashes_of, look_of, study_hash_of, turns
from bench_core.data.picture import Picture
from tests.helpers.pictures import in_memory
from tests.helpers.planted import plant

NEOPOLYP = Path(__file__).with_name("neopolyp_clusters.csv")
"""Hash, cluster and whether it was kept, of the 1,000 images; measured on a real copy."""


def neopolyp() -> list[dict[str, str]]:
    with NEOPOLYP.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_rule_of_the_study_leaves_945_neopolyp_images() -> None:
    rows = neopolyp()
    hashes = np.array([int(row["phash"], 16) for row in rows], dtype=np.uint64)
    found = {frozenset(cluster) for cluster in joined(len(rows), study_pairs(hashes))}
    expected: dict[str, set[int]] = defaultdict(set)
    for number, row in enumerate(rows):
        if row["cluster_lt8"]:
            expected[row["cluster_lt8"]].add(number)
    assert found == set(map(frozenset, expected.values())) and len(found) == 27
    assert len(joined(len(rows), equal_images([row["phash"] for row in rows]))) == 4


@pytest.mark.parametrize(("rule", "kept"), [("study", 945), ("exact", 996)])
def test_945_and_996_stay_when_copies_are_dropped(tmp_path: Path, rule: str, kept: int) -> None:
    rows = neopolyp()
    arrays = in_memory(len(rows), size=2)
    arrays.__dict__.update(
        ids=tuple(row["name"] for row in rows),
        fingerprint="f" * 64,
        study_hashes=np.array([int(row["phash"], 16) for row in rows], dtype=np.uint64),
        # The four pairs with one hash are byte-identical files.
        pixel_hashes=tuple(row["phash"] for row in rows),
    )
    found = apply(arrays, Duplicates("drop", rule), tmp_path)
    assert len(found.ids) == kept and len(found.left_out) == 1000 - kept
    if rule == "study":
        assert set(found.ids) == {row["name"] for row in rows if row["kept_945"] == "1"}


def noise(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (7, 9, channels), dtype=np.uint8).squeeze()
    return np.atleast_3d(np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)))


def test_hashes_are_those_of_imagehash() -> None:
    imagehash = pytest.importorskip("imagehash")
    images = [noise(seed, 40 + 3 * seed, 90 - seed, 3 if seed % 3 else 1) for seed in range(60)]
    images += [np.full((50, 40, 3), gray, dtype=np.uint8) for gray in (0, 7, 255)]
    for image in images:
        expected = imagehash.phash(Image.fromarray(image.squeeze()))
        assert f"{study_hash_of(Picture(image)):016x}" == str(expected)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (70, 41)])
def test_a_copy_is_found_in_each_of_the_eight_positions(height: int, width: int) -> None:
    image = noise(3, height, width)
    copies = [np.rot90(side, quarter) for side in (image, image[:, ::-1]) for quarter in range(4)]
    copies.append(noise(4, height, width))
    pictures = np.stack([look_of(Picture(copy)) for copy in copies])
    assert joined(9, near_pairs(pictures)) == [tuple(range(8))]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1300, 1500), (2100, 1470), (639, 2000)])
def test_the_small_picture_of_a_large_image_is_that_of_all_its_pixels(
    height: int, width: int, channels: int
) -> None:
    image = noise(5, height, width, channels)
    grain = np.random.default_rng(1).integers(-9, 10, image.shape)
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if channels == 4:
        means = Image.fromarray((image.mean(axis=2) + 0.5).astype(np.uint8))
    else:
        means = Image.fromarray(image.squeeze()).convert("L")
    expected = np.asarray(means.resize((32, 32), Image.Resampling.BOX)).astype(int)
    apart = np.abs(look_of(Picture(image)) - expected)
    assert apart.max() <= 6 and apart.mean() < 0.5


def test_symmetries_are_the_eight_of_a_square() -> None:
    picture = np.arange(1024).reshape(32, 32)
    found = {picture.ravel()[turn].tobytes() for turn in turns()}
    sides = (picture, picture[:, ::-1], picture[::-1], picture.T)
    assert len(found) == 8 and all(np.rot90(side).copy().tobytes() in found for side in sides)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=8))
def test_bits_apart_are_counted(numbers: list[int]) -> None:
    values = np.array(numbers, dtype=np.uint64)
    expected = [[bin(one ^ other).count("1") for other in numbers] for one in numbers]
    assert bits_apart(values[:, None], values[None]).tolist() == expected


def test_bits_are_counted_alike_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(0, 2**64, 50, dtype=np.uint64)
    before = bits_apart(values[:, None], values[None])
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert (bits_apart(values[:, None], values[None]) == before).all()


@given(
    st.integers(1, 30).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40),
            st.lists(st.integers(0, 9), min_size=count, max_size=count),
        )
    )
)
def test_clusters_are_what_pairs_and_keys_connect(case: tuple[int, list[tuple[int, int]], list[int]]) -> None:
    count, pairs, keys = case
    connected = np.eye(count, dtype=bool)
    for one, other in [*pairs, *((a, b) for a in range(count) for b in range(count) if keys[a] == keys[b])]:
        connected[one, other] = connected[other, one] = True
    for _ in range(count.bit_length() + 1):
        connected = connected @ connected
    expected = {tuple(np.flatnonzero(row)) for row in connected}
    found = partition(count, pairs, keys)
    assert set(found) == expected and sum(map(len, found)) == count


def test_flat_images_are_no_copies_of_each_other() -> None:
    flat = np.stack([np.full((32, 32), gray, dtype=np.uint8) for gray in (7, 7, 90)])
    assert list(near_pairs(flat)) == [] == list(near_pairs(flat[:0]))


def test_pairs_do_not_depend_on_the_order_of_images() -> None:
    pictures = np.stack([look_of(Picture(noise(seed % 20, 60 + seed, 80))) for seed in range(60)])
    order = np.random.default_rng(5).permutation(60)
    turned = {tuple(sorted((int(order[a]), int(order[b])))) for a, b in near_pairs(pictures[order])}
    assert turned == set(near_pairs(pictures)) and len(turned) == 60


def test_planted_copies_are_found_and_nothing_else() -> None:
    found = plant(240, 60, 96)
    assert found.recall >= 0.98 and found.wrong == 0, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_copies_among_2000_images(seed: int) -> None:
    found = plant(2000, 100, 192, seed)
    print(found)
    assert found.recall >= 0.98 and found.wrong <= 0.002 * found.images, str(found)


def test_hashes_of_pictures_set_half_of_the_bits() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8)
    assert {bin(int(value)).count("1") for value in hashes_of(pictures)} == {32}
