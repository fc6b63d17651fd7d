"""Missing and damaged files of one dataset are told in one message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench_core.data.cache import open_cache
from bench_core.data.layout import LayoutError, layout_error
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from tests.helpers.pictures import blob, picture


class Half:
    """A reader of three samples, of which one lacks its mask and one is damaged."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def samples(self) -> Sequence[Sample]:
        usable = [Sample(name, name, (self._root / f"{name}.png",)) for name in ("good", "torn")]
        raise layout_error(["lost.png: has no mask"], self._root, usable, fix="unpack it again")

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        if sample.id == "torn":
            raise DataError("cannot be decoded", place=str(sample.files[0]))
        return picture(1), blob(1)


def test_files_that_can_be_read_are_looked_at_although_others_are_missing(tmp_path: Path) -> None:
    for name in ("good", "torn"):
        (tmp_path / f"{name}.png").write_bytes(b"x")
    with pytest.raises(LayoutError) as caught:
        open_cache(
            Half(tmp_path), dataset="half", version=1, options={}, image_size=16, resize="stretch",
            root=tmp_path / "cache",
        )  # fmt: skip
    assert caught.value.problems == ("lost.png: has no mask", "torn.png: cannot be decoded")
    assert str(caught.value).count("torn.png") == 1 and "2 problems" in str(caught.value)
    assert caught.value.fix == "unpack it again"
