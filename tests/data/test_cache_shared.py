"""One cache and several processes: built once, read by all."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.samples import Sample, UInt8Array
from tests.helpers.array_readers import folders, reader, same
from tests.helpers.pictures import (
    ArrayReader,
    open_arrays,
)


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
