"""Packed label maps are the label maps, and a file is decompressed once however many parts ask for it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench_core.analysis.packed_maps import LabelMaps, MapCache, Packed, box_of
from bench_core.errors import StoreError

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))
FEW = st.sampled_from([0, 0, 0, 1, 2, 3, 255])


@given(arrays.arrays(np.uint8, SHAPES, elements=FEW))
def test_a_packed_map_is_the_map(labels: np.ndarray) -> None:
    packed = Packed.of(labels)
    assert (packed.whole() == labels).all() and packed.whole().shape == labels.shape
    assert not labels.any() or labels[box_of(labels)].any()
    outside = labels.copy()
    outside[box_of(labels)] = 0
    assert not outside.any()
    maps = LabelMaps({"a": packed})
    assert (maps["a"] == labels).all() and list(maps) == ["a"] and len(maps) == 1 and "b" not in maps


class Source:
    """Counts how often maps are read, and breaks where it is told to."""

    def __init__(self, maps: dict[str, np.ndarray], broken: bool = False) -> None:
        self.maps, self.broken, self.read = maps, broken, 0

    def stream(self) -> Generator[tuple[str, Any], None, None]:
        for item in self.maps.items():
            self.read += 1
            yield item
        if self.broken:
            raise StoreError("damaged")


def many(number: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"i{place}": random.integers(0, 3, (30, 40), dtype=np.uint8) for place in range(number)}


def test_what_was_read_whole_is_read_once() -> None:
    cache, source = MapCache(), Source(many())
    for _ in range(3):
        found = dict(cache.read("a", source.stream()))
        assert list(found) == list(source.maps)
        assert all((found[name] == labels).all() for name, labels in source.maps.items())
    assert source.read == 5
    assert len(dict(cache.read("b", Source({}).stream()))) == 0, "jobs are told apart"


def test_what_was_broken_off_damaged_or_too_large_is_read_again() -> None:
    cache, source = MapCache(), Source(many())
    stream = cache.read("a", source.stream())
    next(stream)
    stream.close()
    assert len(dict(cache.read("a", source.stream()))) == 5 and source.read == 6
    broken = Source(many(), broken=True)
    for _ in range(2):
        with pytest.raises(StoreError):
            dict(cache.read("b", broken.stream()))
    assert broken.read == 10
    small, source = MapCache(most_bytes=2000), Source(many())
    assert [len(dict(small.read("a", source.stream()))) for _ in range(2)] == [5, 5] and source.read == 10
