"""Builds of a cache that were cut off: continued from whole samples, and never waited for."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.data import locking
from bench_core.data.cache import UNFINISHED
from tests.helpers.array_readers import folders, reader, same
from tests.helpers.pictures import (
    open_arrays,
)


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
