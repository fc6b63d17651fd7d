"""A cache is believed no further than its checksums reach, and holds what its fingerprint says."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench_core.data import hashing
from bench_core.data import mapped as cached
from bench_core.data.cache import CachedArrays
from bench_core.data.hashing import ChangedFileError
from bench_core.data.loader import Split
from bench_core.data.looks import study_hash_of
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import StoreError
from tests.helpers.pictures import ArrayReader, blob, cache_folder, open_arrays, picture, write_folder

COUNT = 200


def reader(count: int = COUNT) -> ArrayReader:
    return ArrayReader(
        [picture(n, 8, 8) for n in range(count)], [blob(n, 8, 8, value=1) for n in range(count)]
    )


def folder(arrays: CachedArrays) -> Path:
    assert arrays.path is not None
    return arrays.path


def zero_masks(arrays: CachedArrays, numbers: range) -> None:
    stored = np.load(folder(arrays) / "masks.npy", mmap_mode="r+")
    for number in numbers:
        stored[number] = 0
    stored.flush()


@pytest.mark.parametrize("number", [0, 1, 2, 98, 197, 199])
def test_any_changed_sample_is_found_when_the_cache_is_opened(tmp_path: Path, number: int) -> None:
    first = open_arrays(reader(), tmp_path)
    expected = np.array(first.masks)
    zero_masks(first, range(number, number + 1))
    source = reader()
    again = open_arrays(source, tmp_path)
    assert source.reads == COUNT and (again.masks == expected).all()


def test_unchanged_files_of_a_cache_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "SETTLED_SECONDS", -1.0)
    first = open_arrays(reader(), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(cached, "sample_checksum", lambda *_: pytest.fail("read again"))
        open_arrays(reader(), tmp_path)
    before = (folder(first) / "masks.npy").stat()
    zero_masks(first, range(3, 4))
    os.utime(folder(first) / "masks.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    source = reader()
    assert open_arrays(source, tmp_path).masks[3].any() and source.reads == COUNT


def test_a_list_of_checks_that_is_damaged_is_not_believed(tmp_path: Path) -> None:
    first = open_arrays(reader(), tmp_path)
    zero_masks(first, range(5, 6))
    for text in ("{}", "[1", "null", '{"images.npy": []}'):
        (folder(first) / "checked.json").write_text(text)
        assert open_arrays(reader(), tmp_path).masks[5].any()


@pytest.mark.parametrize("pickled", [False, True])
def test_a_sample_that_changes_while_the_cache_is_open_is_not_used(tmp_path: Path, pickled: bool) -> None:
    arrays = open_arrays(reader(), tmp_path)
    zero_masks(arrays, range(7, 9))
    if pickled:
        arrays = pickle.loads(pickle.dumps(arrays))
    split = Split(arrays, range(COUNT), "native")
    split.read([0, 1])
    with pytest.raises(StoreError, match="changed or damaged while it was in use") as caught:
        split.read([3, 7])
    assert "sample s7" in str(caught.value) and "the cache is rebuilt" in str(caught.value)
    assert open_arrays(reader(), tmp_path).masks[7].any()


def _other_format(index: dict[str, object]) -> None:
    index["format"] = 1


def _another_count(index: dict[str, object]) -> None:
    index["attributes"] = []


def _other_ids(index: dict[str, object]) -> None:
    index["ids"] = [f"t{number}" for number in range(COUNT)]


def _lists_for_pairs(index: dict[str, object]) -> None:
    index["spacing"] = [[]] * COUNT


def _endless_sizes(index: dict[str, object]) -> None:
    index["sizes"] = [[2**70, 1]] * COUNT


def _labels_of_nothing(index: dict[str, object]) -> None:
    index["labels"] = [{"1": 10**12}] * COUNT


def _other_looks(index: dict[str, object]) -> None:
    index["looks"] = 7


def _no_numbers(index: dict[str, object]) -> None:
    index["checksums"] = [None] * COUNT


INDEX_CHANGES = (
    _other_format,
    _another_count,
    _other_ids,
    _lists_for_pairs,
    _endless_sizes,
    _labels_of_nothing,
    _other_looks,
    _no_numbers,
)


@pytest.mark.parametrize("change", INDEX_CHANGES)
def test_an_index_of_another_kind_is_rebuilt(
    tmp_path: Path, change: Callable[[dict[str, object]], None]
) -> None:
    path = folder(open_arrays(reader(), tmp_path)) / "index.json"
    index = json.loads(json.loads(path.read_text())["index"])
    change(index)
    body = json.dumps(index)
    path.write_text(json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "index": body}))
    source = reader()
    assert len(open_arrays(source, tmp_path).ids) == COUNT and source.reads == COUNT


def _study(path: Path, change: Callable[[list[object]], object]) -> None:
    known = json.loads(json.loads(path.read_text())["study"])
    change(known)
    body = json.dumps(known)
    path.write_text(json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "study": body}))


STUDY_CHANGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 3),
    "edited": lambda path: path.write_text(path.read_text().replace("0", "1")),
    "of another content": lambda path: _study(path, lambda known: known.__setitem__(0, "f" * 64)),
    "text": lambda path: _study(path, lambda known: known.__setitem__(1, ["zz"] * 12)),
    "huge": lambda path: _study(path, lambda known: known.__setitem__(1, ["f" * 17] * 12)),
    "too few": lambda path: _study(path, lambda known: known.__setitem__(1, ["f"])),
    "no list": lambda path: path.write_text("7"),
}


@pytest.mark.parametrize("change", STUDY_CHANGES.values(), ids=STUDY_CHANGES)
def test_the_study_s_hashes_are_added_to_a_cache_that_lacks_them(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """Images and masks stay as they are; where the rule asked from the start, images are decoded once."""
    source = reader(12)
    plain = open_arrays(source, tmp_path)
    assert plain.study_hashes is None and source.reads == 12
    images = (folder(plain) / "images.npy").stat()
    arrays = open_arrays(source, tmp_path, study=True)
    assert source.reads == 24 and arrays.path == plain.path
    assert (folder(plain) / "images.npy").stat() == images
    expected = [study_hash_of(Picture(image)) for image in source.images]
    assert arrays.study_hashes is not None and arrays.study_hashes.tolist() == expected
    change(folder(plain) / "study.json")
    again = open_arrays(source, tmp_path, study=True)
    assert source.reads == 36 and again.study_hashes is not None and again.study_hashes.tolist() == expected
    at_once = open_arrays(source, tmp_path / "at once", study=True)
    assert source.reads == 48 and at_once.study_hashes is not None
    assert at_once.study_hashes.tolist() == expected
    assert open_arrays(source, tmp_path).study_hashes is not None and source.reads == 48


class Changing(ArrayReader):
    """Reads files; `meanwhile(path)` happens between the hash and the decoding of one of them."""

    def __init__(self, root: Path, meanwhile: Callable[[Path], object], times: int) -> None:
        super().__init__([], [])
        self.paths = sorted((root / "images").iterdir())
        self.meanwhile, self.times = meanwhile, times

    def samples(self) -> list[Sample]:
        return [Sample(path.stem, path.stem, (path,)) for path in self.paths]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        (path,) = sample.files
        if path == self.paths[3] and self.reads < self.times:
            self.reads += 1
            self.meanwhile(path)
        return np.asarray(Image.open(path)), blob(0, value=1)


def _another_image(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def _another_image_of_the_same_time(path: Path) -> None:
    before = path.stat()
    _another_image(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _half_a_file(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("change", [_another_image, _another_image_of_the_same_time])
@pytest.mark.parametrize("settled", [True, False])
def test_what_is_decoded_is_what_was_hashed(
    tmp_path: Path, change: Callable[[Path], object], settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1.0 if settled else 1e9)
    root = write_folder(tmp_path / "data", 6)
    arrays = open_arrays(Changing(root, change, 1), tmp_path / "cache", image_size=24, resize="stretch")
    fresh = open_arrays(Changing(root, change, 0), tmp_path / "new", image_size=24, resize="stretch")
    assert arrays.fingerprint == fresh.fingerprint
    assert (arrays.images == fresh.images).all() and arrays.pixel_hashes == fresh.pixel_hashes


@pytest.mark.parametrize("change", [_another_image, _half_a_file])
def test_files_that_never_rest_are_one_clear_error(tmp_path: Path, change: Callable[[Path], object]) -> None:
    root = write_folder(tmp_path / "data", 6)
    with pytest.raises(ChangedFileError, match="changed while it was read") as caught:
        open_arrays(Changing(root, change, 99), tmp_path / "cache")
    assert caught.value.place == str(root / "images/case-03.png")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_replaced_file_of_equal_times_is_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1.0)
    root = write_folder(tmp_path / "data", 6)
    first = cache_folder(root, tmp_path / "cache")
    target = root / "images/case-01.png"
    before = target.stat()
    other = tmp_path / "other.png"
    other.write_bytes(target.read_bytes()[:-1] + b"\x00")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(target)
    assert hashing.FileHashes(tmp_path / "cache/hashes.json").sha256(target) != first.fingerprint
    assert cache_folder(root, tmp_path / "cache").fingerprint != first.fingerprint
