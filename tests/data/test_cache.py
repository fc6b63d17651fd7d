"""The cache: built once, found again, rebuilt when anything about it changed, whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench_core import Task
from bench_core.data import hashing, locking
from bench_core.data.cache import UNFINISHED, CachedArrays, open_cache
from bench_core.data.grouping import Duplicates, apply
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError, StoreError
from tests.helpers.pictures import (
    ArrayReader,
    blob,
    cache_folder,
    open_arrays,
    picture,
    write_folder,
)

LESION = Task(classes=("lesion",), channels=3)


def reader(count: int = 5) -> ArrayReader:
    return ArrayReader([picture(n) for n in range(count)], [blob(n, value=1) for n in range(count)])


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def same(one: CachedArrays, other: CachedArrays) -> bool:
    return (
        one.ids == other.ids
        and one.groups == other.groups
        and one.pixel_hashes == other.pixel_hashes
        and bool((one.images == other.images).all() and (one.masks == other.masks).all())
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


def test_an_interrupted_build_is_continued(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_arrays(reader(), tmp_path, progress=interrupt)
    assert [name.endswith(UNFINISHED) for name in folders(tmp_path)] == [True]
    source, calls = reader(), []
    arrays = open_arrays(source, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert source.reads == 3 and calls == [(2, 5), (3, 5), (4, 5), (5, 5)]
    assert same(arrays, open_arrays(reader(), tmp_path / "at once"))
    assert arrays.path is not None and folders(tmp_path) == [arrays.path.name, "at once"]


def _build_and_die(cache: Path) -> None:
    open_arrays(reader(), cache, progress=lambda done, total: os._exit(9) if done == 4 else None)


def _killed(cache: Path) -> Path:
    """Return the folder that a build left which died when three of five samples were finished."""
    process = multiprocessing.get_context("fork").Process(target=_build_and_die, args=(cache,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    (name,) = folders(cache)
    return cache / name


def test_a_killed_build_is_continued(tmp_path: Path) -> None:
    left = _killed(tmp_path / "cache")
    assert left.name.endswith(UNFINISHED)
    source = reader()
    arrays = open_arrays(source, tmp_path / "cache")
    assert source.reads == 2 and same(arrays, open_arrays(reader(), tmp_path / "at once"))
    assert arrays.path is not None and folders(tmp_path / "cache") == [arrays.path.name]
    assert {path.name for path in arrays.path.iterdir()} >= {"images.npy", "masks.npy", "looks.npy"}
    assert not (arrays.path / "journal.jsonl").exists()


def _flip_one(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _cut_one(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {
    "nothing": (lambda left: None, 2),
    "no journal": (lambda left: (left / "journal.jsonl").unlink(), 5),
    "a journal of nonsense": (lambda left: (left / "journal.jsonl").write_bytes(b"\xff\n{}\n"), 5),
    "a line cut off": (lambda left: _cut_one(left / "journal.jsonl"), 3),
    "a line changed": (lambda left: _flip_one(left / "journal.jsonl", 50), 5),
    "the last image cut off": (
        lambda left: _cut_one(left / "images.npy"),
        3,
    ),
    "no masks": (lambda left: (left / "masks.npy").unlink(), 5),
    "one pixel of the second mask": (lambda left: _flip_one(left / "masks.npy", 128 + 256 + 9), 4),
    "a header": (lambda left: _flip_one(left / "images.npy", 70), 5),
    "more than was noted": (lambda left: (left / "images.npy").open("ab").write(b"x" * 1000), 2),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_of_what_a_killed_build_left_only_whole_samples_are_taken(tmp_path: Path, what: str) -> None:
    damage, reads = DAMAGE[what]
    damage(_killed(tmp_path / "cache"))
    source = reader()
    arrays = open_arrays(source, tmp_path / "cache")
    assert source.reads == reads and same(arrays, open_arrays(reader(), tmp_path / "at once"))


def test_attributes_of_a_continued_build_are_the_present_ones(tmp_path: Path) -> None:
    _killed(tmp_path / "cache")
    changed = reader()
    listed = [replace(sample, attributes={"age": 7.0}) for sample in changed.samples()]
    changed.samples = lambda: listed  # type: ignore[method-assign]
    arrays = open_arrays(changed, tmp_path / "cache")
    assert changed.reads == 2 and [row["age"] for row in arrays.attributes] == [7.0] * 5


def test_a_builder_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "STALE_SECONDS", 0.2)
    place = open_arrays(reader(), tmp_path / "elsewhere").path
    assert place is not None
    (tmp_path / "cache").mkdir()
    lock = tmp_path / "cache" / f".{place.name}.lock"
    abandoned = tmp_path / "cache" / f".{place.name}.other-machine.7.tmp"
    abandoned.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(lock, (0, 0))
        assert len(open_arrays(reader(), tmp_path / "cache").ids) == 5
    # Its folder may still be written to: only a long look proves it dead, whatever its times say.
    assert abandoned.exists()
    os.utime(abandoned, (0, 0))
    shutil.rmtree(tmp_path / "cache" / place.name)
    open_arrays(reader(), tmp_path / "cache")
    assert abandoned.exists()


def test_a_build_of_another_machine_is_removed_after_it_was_still_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_arrays(reader(), tmp_path / "elsewhere").path
    assert place is not None
    at_work, dead = (tmp_path / "cache" / f".{place.name}.{name}.7.tmp" for name in ("at-work", "dead"))
    for path in (at_work, dead):
        path.mkdir(parents=True)
        (path / "images.npy").write_bytes(b"half")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def progress(done: int, total: int) -> None:
        now[0] += 100.0
        (at_work / "images.npy").write_bytes(b"half" * (done + 2))

    open_arrays(reader(), tmp_path / "cache", progress=progress)
    assert (at_work / "images.npy").exists() and not dead.exists()


def test_a_clock_hours_ahead_of_the_file_server_removes_no_build_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_arrays(reader(), tmp_path / "elsewhere").path
    assert place is not None
    at_work = tmp_path / "cache" / f".{place.name}.other-machine.7.tmp"
    at_work.mkdir(parents=True)
    (at_work / "images.npy").write_bytes(b"half")
    ahead = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: ahead)
    open_arrays(reader(), tmp_path / "cache")
    assert (at_work / "images.npy").exists()


class LoggingReader(ArrayReader):
    def __init__(self, log: Path) -> None:
        super().__init__(reader(8).images, reader(8).masks)
        self._log = log

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        with self._log.open("a") as file:
            file.write(f"{sample.id}\n")
        return super().read(sample)


def _open_and_sum(cache: Path, log: Path, results: Any) -> None:
    arrays = open_arrays(LoggingReader(log), cache)
    results.put(int(arrays.images.astype(np.int64).sum()))


def test_processes_that_ask_at_once_share_one_build(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    log = tmp_path / "log"
    processes = [
        context.Process(target=_open_and_sum, args=(tmp_path / "cache", log, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(sums) == 1
    assert len(log.read_text().split()) == 8


def _read_all(cache: Path, results: Any) -> None:
    source = reader(8)
    arrays = open_arrays(source, cache)
    images, masks = arrays.read(np.arange(8))
    results.put((source.reads, hashlib.sha256(images.tobytes() + masks.tobytes()).hexdigest()))


def test_sixteen_processes_read_one_cache_at_once(tmp_path: Path) -> None:
    arrays = open_arrays(reader(8), tmp_path)
    expected = hashlib.sha256(arrays.images.tobytes() + arrays.masks.tobytes()).hexdigest()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_read_all, args=(tmp_path, results)) for _ in range(16)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert found == [(0, expected)] * 16


def test_who_loses_the_race_takes_the_winner_s(tmp_path: Path) -> None:
    winner = open_arrays(reader(), tmp_path / "winner")
    assert winner.path is not None
    place = tmp_path / "cache" / winner.path.name

    def overtaken(done: int, total: int) -> None:
        if done == total:
            shutil.copytree(winner.path, place)  # type: ignore[arg-type]

    arrays = open_arrays(reader(), tmp_path / "cache", progress=overtaken)
    assert arrays.path == place and same(arrays, winner)
    assert place.stat().st_ino == (tmp_path / "cache" / folders(tmp_path / "cache")[0]).stat().st_ino
    assert len(folders(tmp_path / "cache")) == 1


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
