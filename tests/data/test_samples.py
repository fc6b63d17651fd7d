"""What is kept of a dataset without its images: attributes, sizes, spacing, folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.data.cache import open_cache
from bench_core.data.describe import describe
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_core.files.bounded import BoundError
from bench_core.samples import Samples, dealing_name, grid_spacing, read_samples
from tests.helpers.pictures import ArrayReader, blob, open_arrays, picture


class Described(ArrayReader):
    """Arrays with attributes and spacing, which a test may change."""

    def __init__(self, samples: list[Sample], sizes: list[tuple[int, int]]) -> None:
        super().__init__([picture(n, *size) for n, size in enumerate(sizes)],
                         [blob(n, *size, value=1) for n, size in enumerate(sizes)])  # fmt: skip
        self.listed = samples

    def samples(self) -> list[Sample]:
        return self.listed


def three(**second: Any) -> Described:
    samples = [
        Sample("s0", "g0", attributes={"age": 41, "sex": "f"}, spacing=(0.5, 0.25)),
        Sample("s1", "g1", **{"attributes": {"sex": "m"}, "spacing": (1.0, 1.0), **second}),
        Sample("s2", "g1", attributes={"age": 40.5}, spacing=(2.0, 1.0)),
    ]
    return Described(samples, [(20, 40), (32, 32), (64, 16)])


def test_attributes_sizes_and_spacing_reach_the_description(tmp_path: Path) -> None:
    found = describe(open_arrays(three(), tmp_path), {dealing_name(3, 7): np.array([2, 0, 1])})
    assert found.ids == ("s0", "s1", "s2") and found.groups == ("g0", "g1", "g1")
    assert dict(found.attributes) == {"age": (41, None, 40.5), "sex": ("f", "m", None)}
    assert found.sizes.tolist() == [[20, 40], [32, 32], [64, 16]]
    assert found.spacing is not None and found.spacing.tolist() == [[0.5, 0.25], [1, 1], [2, 1]]
    assert dict(found.folds) == {"3 folds, seed 7": (2, 0, 1)}


def test_spacing_of_the_comparison_grid(tmp_path: Path) -> None:
    found = describe(open_arrays(three(), tmp_path))
    padded = found.grid_spacing(16, "pad-square")
    assert padded is not None and padded.tolist() == [[1.25, 0.625], [2, 2], [8, 4]]
    stretched = found.grid_spacing(16, "stretch")
    assert stretched is not None and stretched.tolist() == [[0.625, 0.625], [2, 2], [8, 1]]


@given(
    st.integers(1, 4000), st.integers(1, 4000), st.floats(1e-3, 10), st.floats(1e-3, 10), st.integers(1, 1024)
)
def test_a_resized_image_is_as_large_as_before(
    height: int, width: int, down: float, across: float, size: int
) -> None:
    sizes, spacing = np.array([[height, width]]), np.array([[down, across]])
    extent = grid_spacing(sizes, spacing, size, "stretch")[0] * size
    assert extent == pytest.approx([height * down, width * across])
    side = max(height, width)
    assert grid_spacing(sizes, spacing, size, "pad-square")[0] * size == pytest.approx(
        [side * down, side * across]
    )


def test_spacing_counts_only_where_all_images_have_it(tmp_path: Path) -> None:
    found = describe(open_arrays(three(spacing=None), tmp_path))
    assert found.spacing is None and found.grid_spacing(16, "stretch") is None


def test_attributes_change_no_fingerprint_and_are_always_the_reader_s(tmp_path: Path) -> None:
    first = open_arrays(three(), tmp_path)
    again = open_arrays(three(attributes={"sex": "f", "age": 12}), tmp_path)
    assert again.fingerprint == first.fingerprint and again.path == first.path
    assert dict(describe(again).attributes)["age"] == (41, 12, 40.5)
    other = open_arrays(three(spacing=(1.0, 2.0)), tmp_path)
    assert other.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"attributes": {"age": "old"}}, "attribute 'age' is text in some samples and a number in others"),
        ({"attributes": {"age": float("nan")}}, "attribute 'age' of s1 is nan"),
        ({"attributes": {"age": True}}, "attribute 'age' of s1 is True"),
        ({"attributes": {"sex": "f\n"}}, "attribute 'sex' of s1"),
        ({"attributes": {"": 1}}, "attribute '' of s1"),
        ({"spacing": (0.0, 1.0)}, "spacing of s1"),
        ({"spacing": (1.0,)}, "spacing of s1"),
    ],
)
def test_attributes_that_cannot_be_used_are_named(
    tmp_path: Path, second: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        open_arrays(three(**second), tmp_path)
    assert message in str(caught.value)


def test_samples_are_written_and_read_again(tmp_path: Path) -> None:
    found = describe(open_arrays(three(), tmp_path), {"given": np.array([0, 1, 1])})
    (tmp_path / "samples.json").write_text(json.dumps(found.to_json()))
    again = read_samples(tmp_path / "samples.json")
    assert again.to_json() == found.to_json()
    assert again.sizes.dtype == np.int64 and again.spacing is not None and again.spacing.dtype == np.float64
    with pytest.raises(ValueError, match="2 folds for 3 samples"):
        found.with_folds("more", [0, 1])


def test_dealings_of_two_studies_are_kept_together(tmp_path: Path) -> None:
    first = describe(open_arrays(three(), tmp_path), {"a": np.array([0, 1, 1])})
    newer = describe(open_arrays(three(attributes={"age": 3}), tmp_path), {"b": np.array([1, 0, 0])})
    both = first.merged(newer)
    assert dict(both.folds) == {"a": (0, 1, 1), "b": (1, 0, 0)} and both.attributes["age"] == (41, 3, 40.5)
    other = describe(open_arrays(three(spacing=(3.0, 3.0)), tmp_path))
    with pytest.raises(ValueError, match="two datasets"):
        first.merged(other)


def _set(*way: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        *steps, last, value = way
        place: Any = data
        for step in steps:
            place = place[step]
        place[last] = value

    return change


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key is missing": lambda data: data.pop("sizes"),
    "a key too many": _set("images", []),
    "another format": _set("format", 2),
    "no fingerprint": _set("fingerprint", "../../x"),
    "an id twice": _set("ids", ["s0", "s0", "s2"]),
    "no samples": lambda data: data.update(
        ids=[], groups=[], sizes=[], spacing=None, attributes={}, folds={}
    ),
    "an id that is a number": _set("ids", 0, 3),
    "a control character": _set("groups", 0, "a\x1b[2J"),
    "a group too few": lambda data: data["groups"].pop(),
    "a side of no pixels": _set("sizes", 1, [0, 3]),
    "a side that is true": _set("sizes", 1, [True, 3]),
    "a side of three": _set("sizes", 1, [3, 3, 3]),
    "a spacing below zero": _set("spacing", 0, [-1, 1]),
    "a spacing beyond reason": _set("spacing", 0, [1e300, 1]),
    "a mixed column": _set("attributes", "age", ["old", 3, None]),
    "a list as a value": _set("attributes", "age", [[], 3, None]),
    "a column too short": _set("attributes", "age", [1]),
    "a fold below zero": _set("folds", "given", [0, -1, 0]),
    "a fold that is not a number": _set("folds", "given", [0, "1", 0]),
    "folds that are a list": _set("folds", []),
    "a column without a name": _set("attributes", {"": [1, 2, 3]}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_samples_are_refused(tmp_path: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(
        json.dumps(describe(open_arrays(three(), tmp_path), {"given": np.zeros(3, int)}).to_json())
    )
    damage(data)
    with pytest.raises(BoundError):
        Samples.from_json(data)
    for other in (None, [], 3, "x", {"format": 1}):
        with pytest.raises(BoundError):
            Samples.from_json(other)


class Drawn:
    """Generates samples without files."""

    def samples(self) -> list[Sample]:
        return [Sample("one", "one")]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        return picture(0), blob(0, value=1)


def test_a_dataset_without_attributes_has_an_empty_description(tmp_path: Path) -> None:
    arrays = open_cache(
        Drawn(), dataset="drawn", version=1, options={}, image_size=8, resize="stretch", root=tmp_path
    )
    found = describe(arrays)
    assert not found.attributes and found.spacing is None and found.sizes.tolist() == [[20, 24]]
