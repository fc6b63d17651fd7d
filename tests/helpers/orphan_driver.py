"""Kills runs with loader processes at seeded moments, and prints which processes are left.

A process of its own for test_orphans; see signal_driver.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from random import Random

from bench_core.protocol.run_options import RunOptions
from tests.helpers.signal_driver import Shot, attempt, prepare, strays


def main(folder: Path, seeds: list[int]) -> None:
    """Kill by turns the main process and the worker, while its loaders start and later."""
    options = RunOptions(loader_workers=2)
    started = time.perf_counter()
    code, _ = attempt(folder / "clean", None, options)
    seconds = time.perf_counter() - started
    assert code == 0 and strays() == [], code
    left = {}
    for seed in seeds:
        moment = Random(seed).uniform(0.05, 0.9) * seconds
        shot = Shot(signal.SIGKILL, seconds=moment, worker=bool(seed % 2))
        attempt(folder / f"killed-{seed}", shot, options)
        left[seed] = strays()
    print(json.dumps({"left": left}))


if __name__ == "__main__":
    base = Path(sys.argv[1])
    prepare(base, epochs=3, models=f"[{sys.argv[3]}]")
    main(base, [int(text) for text in sys.argv[2].split(",")])
