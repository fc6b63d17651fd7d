"""Runs one small job again and again, killed at seeded points; a process of its own for test_kill.

A seed kills either at the n-th write (before or after its effect) or after a fraction of the job's time,
whatever the process is doing then; half of the jobs are killed a second time on their way.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from bench_core.plan.job import Job
from bench_core.store.store import Store
from tests.helpers.small_study import load, run

WRITES = ("rename", "replace", "unlink", "mkdir", "fsync", "link", "rmdir", "utime")
"""Calls of the system that change what a later process finds; each is killed before and after its effect."""


def arm(kill_at: int) -> list[int]:
    """Send this process SIGKILL at the `kill_at`-th point, counted in the returned list."""
    count = [0]

    def point() -> None:
        count[0] += 1
        if count[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            point()
            result = original(*arguments, **options)
            point()
            return result

        return call

    for name in WRITES:
        setattr(os, name, around(getattr(os, name)))
    opened = io.open

    def open_counted(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if any(letter in mode for letter in "wax+"):
            point()
        return opened(file, mode, *arguments, **options)

    io.open = open_counted
    return count


@dataclass(frozen=True)
class Kill:
    """When to kill: at a write's number, or after some seconds; 0 never."""

    write: int = 0
    seconds: float = 0.0


def attempt(folder: Path, kill: Kill) -> int:
    """Run the job in a child process; return how many points it passed, 0 if it was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        loaded, job = _JOB
        count = arm(kill.write)
        # The alarm's default action ends the process at once, like SIGKILL, without running any Python.
        signal.setitimer(signal.ITIMER_REAL, kill.seconds)
        run(job, Store(folder / "store", create=True), loaded.registry)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(write, str(count[0]).encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    passed = os.read(read, 32)
    os.close(read)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGALRM):
        return 0
    if status != 0:
        raise RuntimeError(f"attempt ended with status {status}")
    return int(passed)


def kill_for_sure(folder: Path, kill: Kill) -> int:
    """Start the job and kill it; where it was done before its time came, start anew and kill earlier."""
    while attempt(folder, kill) != 0:
        shutil.rmtree(folder)
        kill = Kill(kill.write, kill.seconds / 2)
    return 1


def fingerprint(folder: Path, job: Job) -> dict[str, str]:
    """Return hashes of all that must be equal: weights, trace, counts, cases and history."""
    store = Store(folder / "store")
    sealed = store.folder(job.digest)
    weights = torch.load(sealed / "best.pt", weights_only=True)["state_dict"]
    content = b"".join(name.encode() + tensor.numpy().tobytes() for name, tensor in sorted(weights.items()))
    result = store.result(job.digest)
    numbers = [
        (record.epoch, record.loss, sorted(record.validation.items())) for record in result.training.history
    ]
    store.check(job.digest)
    facts = {"weights": content, "history": repr((numbers, result.training.chosen_epoch)).encode()}
    facts |= {name: (sealed / name).read_bytes() for name in ("trace.jsonl", "counts.csv")}
    facts["labels"] = store.predictions(job.digest).labels.tobytes()
    facts["cases"] = b"".join(case.prediction.tobytes() for case in store.cases(job.digest))
    return {name: hashlib.sha256(value).hexdigest() for name, value in facts.items()}


def main(base: Path, seeds: list[int]) -> None:
    """Print as JSON: the undisturbed job's fingerprint, and for each seed the fingerprint after its kills."""
    started = time.perf_counter()
    clean = base / "clean"
    writes = attempt(clean, Kill())
    seconds = time.perf_counter() - started
    outcomes = {}
    for seed in seeds:
        random, folder = Random(seed), base / f"kill{seed}"
        kills = [
            Kill(write=random.randint(1, writes))
            if seed % 2
            else Kill(seconds=random.uniform(0.02, 0.95) * seconds)
            for _ in range(random.choice([1, 2]))
        ]
        killed = kill_for_sure(folder, kills[0])
        for kill in kills[1:]:
            killed += attempt(folder, kill) == 0
        if not Store(folder / "store").is_done(_JOB[1].digest):
            attempt(folder, Kill())
        leftover = [path.name for path in Store(folder / "store").running.iterdir()]
        outcomes[seed] = {"killed": killed, "leftover": leftover, "equal": fingerprint(folder, _JOB[1])}
        shutil.rmtree(folder)
    print(json.dumps({"writes": writes, "clean": fingerprint(clean, _JOB[1]), "outcomes": outcomes}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    target = Path(sys.argv[1])
    _LOADED, _PLAN = load(target / "spec")
    _JOB = (_LOADED, _PLAN.jobs[0])
    # Imports in every child would be slower than the jobs themselves.
    run(_PLAN.jobs[1], Store(target / "warm", create=True), _LOADED.registry)
    main(target, [int(text) for text in sys.argv[2].split(",")])
