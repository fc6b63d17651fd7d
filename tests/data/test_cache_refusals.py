"""What no cache can be built of, or where: said at once, and nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core import Task
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError, StoreError
from tests.helpers.array_readers import LESION, folders, reader
from tests.helpers.pictures import (
    ArrayReader,
    blob,
    open_arrays,
    picture,
)


def _build_on_a_small_disk(cache: Path, results: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
    try:
        open_arrays(reader(40), cache, image_size=64)
    except StoreError as error:
        results.put(str(error))


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_build_on_a_small_disk, args=(tmp_path, results))
    process.start()
    message = results.get(timeout=60)
    process.join(60)
    assert "the data cache cannot be written" in message and "free space" in message
    assert folders(tmp_path) == []


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        open_arrays(reader(), tmp_path / "file" / "cache")
    assert "file" in str(caught.value.place) and "--store" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            open_arrays(reader(), tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_all_unusable_samples_are_named_at_once(tmp_path: Path) -> None:
    source = reader(6)
    source.masks[1] = blob(1, value=2)
    source.masks[3] = blob(3, 10, 10, value=1)
    source.images[4] = picture(4, channels=1)
    source.images[5] = source.images[5].astype(np.float32)
    with pytest.raises(DataError) as caught:
        open_arrays(source, tmp_path, task=LESION)
    message = str(caught.value)
    assert "4 samples cannot be used" in message
    assert "s1: mask holds class 2, but the classes end at 1 (lesion)" in message
    assert "s3: image is 24 x 20 pixels, its mask 10 x 10" in message
    assert "s4: image has 1 channel(s), expected 3" in message
    assert "s5" in message and "float32" in message
    assert folders(tmp_path) == []


def test_ignored_pixels_are_for_tasks_that_declare_them(tmp_path: Path) -> None:
    source = reader(2)
    source.masks[1] = np.where(source.masks[1] > 0, 255, 0).astype(np.uint8)
    with pytest.raises(DataError, match="mask holds class 255"):
        open_arrays(source, tmp_path, task=LESION)
    arrays = open_arrays(source, tmp_path, task=Task(classes=("lesion",), channels=3, ignore=True))
    assert set(np.unique(arrays.masks[1])) == {0, 255}
    source.masks[0][0, 0] = 2
    with pytest.raises(DataError, match="mask holds class 2, but the classes end at 1"):
        open_arrays(source, tmp_path, version=2, task=Task(classes=("lesion",), channels=3, ignore=True))


def test_channels_must_agree_even_without_a_task(tmp_path: Path) -> None:
    source = reader(3)
    source.images[2] = picture(2, channels=1)
    with pytest.raises(DataError, match=r"s2: image has 1 channel\(s\), expected 3"):
        open_arrays(source, tmp_path)


class BrokenReader(ArrayReader):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        raise KeyError("no such column")


def test_a_reader_that_raises_something_else_is_named_with_its_sample(tmp_path: Path) -> None:
    broken = BrokenReader([picture(0)], [blob(0, value=1)])
    with pytest.raises(DataError, match=r"the reader failed on sample 's0': KeyError") as caught:
        open_arrays(broken, tmp_path)
    assert caught.value.place == "s0"


class TwiceReader(ArrayReader):
    def samples(self) -> list[Sample]:
        return [*super().samples(), Sample("s1", "g9")]


def test_ids_must_be_unique_and_there_must_be_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample ids occur twice: s1"):
        open_arrays(TwiceReader(reader(3).images, reader(3).masks), tmp_path)
    with pytest.raises(DataError, match="holds no samples"):
        open_arrays(ArrayReader([], []), tmp_path)
