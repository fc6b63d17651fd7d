"""The cache: built once, found again, rebuilt when anything about it changed, whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench_core.data import hashing
from bench_core.data.cache import open_cache
from bench_core.data.grouping import Duplicates, apply
from bench_core.data.samples import Sample, UInt8Array
from tests.helpers.array_readers import LESION, folders, reader, same
from tests.helpers.pictures import (
    ArrayReader,
    blob,
    cache_folder,
    open_arrays,
    picture,
    write_folder,
)


def test_it_holds_resized_samples_and_is_read_only(tmp_path: Path) -> None:
    arrays = open_arrays(reader(), tmp_path, task=LESION)
    assert arrays.images.shape == (5, 16, 16, 3) and arrays.masks.shape == (5, 16, 16)
    assert arrays.images.dtype == arrays.masks.dtype == np.uint8
    assert arrays.ids == ("s0", "s1", "s2", "s3", "s4") and arrays.groups[1] == "g1"
    assert set(np.unique(arrays.masks)) == {0, 1}
    assert isinstance(arrays.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays.images[0] = 0


def test_the_second_opening_decodes_nothing(tmp_path: Path) -> None:
    source, calls = reader(), []
    first = open_arrays(source, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)] and source.reads == 5
    second = open_arrays(source, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert source.reads == 5 and len(calls) == 5 and same(first, second)
    assert len(folders(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "fingerprint_too"),
    [
        ({"version": 2}, True),
        ({"options": {"plane": "axial"}}, True),
        ({"dataset": "../other set"}, True),
        ({"image_size": 8}, False),
        ({"resize": "stretch"}, False),
        ({"padding": "ignore"}, False),
    ],
)
def test_every_setting_has_its_own_cache(
    tmp_path: Path, change: dict[str, Any], fingerprint_too: bool
) -> None:
    first = open_arrays(reader(), tmp_path)
    second = open_arrays(reader(), tmp_path, **change)
    assert len(folders(tmp_path)) == 2
    assert (first.fingerprint != second.fingerprint) == fingerprint_too


def test_the_order_of_classes_has_its_own_cache(tmp_path: Path) -> None:
    one = open_arrays(reader(), tmp_path, options={"classes": {"lesion": 1, "hair": 2}})
    other = open_arrays(reader(), tmp_path, options={"classes": {"hair": 2, "lesion": 1}})
    assert one.fingerprint != other.fingerprint, "labels are numbered in the order of the classes"


def test_changed_files_are_noticed_and_moved_ones_are_not_rebuilt(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    first = cache_folder(data, tmp_path / "cache")
    moved = shutil.move(data, tmp_path / "elsewhere")
    assert cache_folder(Path(moved), tmp_path / "cache").path == first.path
    target = tmp_path / "elsewhere/images/case-02.png"
    before = target.stat()
    Image.fromarray(255 - picture(2)).save(target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = cache_folder(Path(moved), tmp_path / "cache")
    assert second.fingerprint != first.fingerprint
    assert (second.images[2] != first.images[2]).any() and (second.images[3] == first.images[3]).all()


def test_unchanged_files_are_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1.0)
    (tmp_path / "a").write_bytes(b"1234")
    known = hashing.FileHashes(tmp_path / "hashes.json")
    first = known.sha256(tmp_path / "a")
    assert first == hashlib.sha256(b"1234").hexdigest()
    known.save()
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
        assert hashing.FileHashes(tmp_path / "hashes.json").sha256(tmp_path / "a") == first
    (tmp_path / "a").write_bytes(b"5678")
    assert hashing.FileHashes(tmp_path / "hashes.json").sha256(tmp_path / "a") != first
    (tmp_path / "hashes.json").write_text("[]")
    (tmp_path / "a").write_bytes(b"1234")
    assert hashing.FileHashes(tmp_path / "hashes.json").sha256(tmp_path / "a") == first


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 255
    path.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "images cut": lambda folder: _cut(folder / "images.npy"),
    "masks gone": lambda folder: (folder / "masks.npy").unlink(),
    "image bits flipped": lambda folder: _flip(folder / "images.npy"),
    "mask bits flipped": lambda folder: _flip(folder / "masks.npy"),
    "index cut": lambda folder: _cut(folder / "index.json"),
    "index empty": lambda folder: (folder / "index.json").write_text(""),
    "index edited": lambda folder: (folder / "index.json").write_text(
        (folder / "index.json").read_text().replace("s3", "s9")
    ),
    "index of another kind": lambda folder: (folder / "index.json").write_text('{"index": 3}'),
    "zeros instead of images": lambda folder: (folder / "images.npy").write_bytes(
        bytes((folder / "images.npy").stat().st_size)
    ),
    "empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    first = open_arrays(reader(), tmp_path / "one")
    second = open_arrays(reader(), tmp_path / "two")
    assert second.path is not None
    damage(second.path)
    source = reader()
    rebuilt = open_arrays(source, tmp_path / "two")
    assert source.reads == 5 and same(first, rebuilt)
    assert folders(tmp_path / "two") == [second.path.name]


@pytest.mark.parametrize("size", [4, 16, 40])
def test_images_are_equal_where_every_pixel_is(tmp_path: Path, size: int) -> None:
    """However small they become: a pixel that no small picture shows tells two images apart."""
    one, mask = picture(1, 200, 240), blob(1, 200, 240, value=1)
    almost, wider = one.copy(), np.pad(one, ((0, 0), (0, 1), (0, 0)))
    almost[100, 120, 2] ^= 1
    flat = np.full((200, 240, 3), 7, np.uint8)
    images = [one, almost, one.copy(), wider, flat, flat[:, :, ::-1], flat[:, 1:], one[:, ::-1]]
    masks = [np.zeros(image.shape[:2], np.uint8) for image in images]
    masks[0], masks[2] = mask, 1 - mask
    source = ArrayReader(images, masks)
    arrays = open_arrays(source, tmp_path, image_size=size)
    groups = [
        [other for other in range(8) if arrays.pixel_hashes[other] == found] for found in arrays.pixel_hashes
    ]
    assert groups == [[0, 2], [1], [0, 2], [3], [4, 5], [4, 5], [6], [7]]
    assert arrays.mask_hashes[0] != arrays.mask_hashes[2] and arrays.mask_hashes[4] == arrays.mask_hashes[5]
    assert "s0 and s2" in " ".join(apply(arrays, Duplicates("report", "exact"), tmp_path).remarks)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9))
def test_equal_images_are_found_whatever_else_there_is(kinds: list[int]) -> None:
    source = ArrayReader([picture(kind) for kind in kinds], [blob(0, value=1) for _ in kinds])
    with tempfile.TemporaryDirectory() as cache:
        arrays = open_arrays(source, Path(cache), image_size=2)
    assert [kinds.index(kind) for kind in kinds] == [
        arrays.pixel_hashes.index(found) for found in arrays.pixel_hashes
    ]


class DrawingReader:
    """Makes every image anew, as a decoder does."""

    def samples(self) -> list[Sample]:
        return [Sample(f"s{number}", f"g{number}") for number in range(120)]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        number = int(sample.id[1:])
        return picture(number, 256, 256), blob(number, 256, 256, value=1)


def test_memory_stays_flat_while_building(tmp_path: Path) -> None:
    one = 256 * 256 * 4
    tracemalloc.start()
    try:
        arrays = open_cache(
            DrawingReader(),
            dataset="drawn",
            version=1,
            options={},
            image_size=256,
            resize="pad-square",
            root=tmp_path,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert arrays.images.nbytes + arrays.masks.nbytes == 120 * one
    assert peak < 40 * one
