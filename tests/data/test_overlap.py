"""Copies between two datasets are those that would be found if both were one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench_core.data.arrays import CachedArrays
from bench_core.data.copies import near_between, near_pairs
from bench_core.data.overlap import Seen, seen_in, told
from tests.helpers.pictures import ArrayReader, blob, in_memory, open_arrays, picture


def test_what_is_found_between_is_what_is_found_in_both_together() -> None:
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    ours = np.kron(small, np.ones((1, 4, 4), dtype=np.uint8))
    theirs = ours[::3].copy()
    theirs[1], theirs[2] = np.rot90(theirs[1]), theirs[2][:, ::-1]
    theirs[3] = np.clip(theirs[3].astype(int) // 2 + 30, 0, 255).astype(np.uint8)
    theirs[4:6] = random.integers(0, 256, (2, 32, 32), dtype=np.uint8)
    # A flat picture says nothing, and an image that is twice in one of the two is no pair of both.
    theirs[6], theirs[8] = 100, theirs[7]
    found = list(near_between(theirs, ours))
    count = len(theirs)
    together = near_pairs(np.concatenate([theirs, ours]))
    assert sorted(found) == sorted((one, other - count) for one, other in together if one < count <= other)
    assert {one for one, _ in found} == set(range(count)) - {4, 5, 6}
    assert [pair for pair in found if pair[0] < 4] == [(0, 0), (1, 3), (2, 6), (3, 9)]
    assert list(near_between(theirs[4:7], ours)) == list(near_between(theirs[:0], ours)) == []


def test_an_equal_image_is_named_before_one_that_is_alike() -> None:
    trained, there = in_memory(6, size=4), in_memory(5, size=4)
    looks = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    looks[1] = looks[4]
    trained.__dict__.update(
        ids=tuple("abcdef"), pixel_hashes=("0", "1", "2", "3", "4", "4"), looks=looks, fingerprint="a" * 64
    )
    there.__dict__.update(
        ids=tuple("vwxyz"),
        pixel_hashes=("9", "4", "8", "7", "2"),
        looks=np.stack([looks[3], looks[4], 255 - looks[0] // 9, looks[5], looks[2]]),
        fingerprint="b" * 64,
    )
    found = seen_in(trained, there)
    assert found == {
        "v": Seen("d", "alike"),
        "w": Seen("e", "equal"),
        "y": Seen("f", "alike"),
        "z": Seen("c", "equal"),
    }
    assert told(found) == "v looks like d; w equals e; y looks like f; and 1 more"


def test_an_image_that_is_twice_in_one_dataset_equals_that_of_the_other(tmp_path: Path) -> None:
    """Each image that is alone in its dataset is known as well as one that is there twice."""

    def cached(numbers: Sequence[int], dataset: str) -> CachedArrays:
        images = [picture(number, 40, 52) for number in numbers]
        masks = [blob(number, 40, 52, value=1) for number in numbers]
        return open_arrays(ArrayReader(images, masks), tmp_path, dataset=dataset)

    here, there = cached((1, 2, 2, 3), "here"), cached((4, 3, 2, 1, 1), "there")
    assert seen_in(here, there) == {"s1": Seen("s3", "equal"), "s2": Seen("s1", "equal"),
                                    "s3": Seen("s0", "equal"), "s4": Seen("s0", "equal")}  # fmt: skip
