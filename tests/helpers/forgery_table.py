"""What `bench verify` finds of each forgery; run as a module it prints the table of docs/verify.md."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.verify.predicted import Sampling
from bench_core.analysis.verify.run import CHECKS, recounting, verify
from bench_core.data.opening import open_reader
from bench_core.execute.datasets import source_of
from tests.helpers.forgeries import Forged, sealed
from tests.helpers.forgery_list import BEYOND, FORGERIES, PLAIN
from tests.helpers.verified_study import Finished, finish

ALL = FORGERIES | BEYOND
Found = Mapping[str, str]
"""Checks that find something, each with the highest level of its findings."""
HEADER = """\
| forgery | what is changed | without data | counted again | predicted again |
|---|---|---|---|---|"""


def copied(finished: Finished, store: Path) -> Forged:
    """Copy the study's store, to be forged."""
    shutil.copytree(finished.store, store, ignore=shutil.ignore_patterns("cache"))
    subjects = finished.audit().subjects
    reader = open_reader(source_of(subjects[0].job.dataset, finished.loaded.registry))
    samples = {sample.id: sample for sample in reader.samples()}

    def masks(sample: str) -> NDArray[np.uint8]:
        return reader.read(samples[sample])[1]

    def images(sample: str) -> NDArray[np.uint8]:
        return reader.read(samples[sample])[0]

    return Forged(
        store, {item.job.name: store / "jobs" / item.job.digest for item in subjects}, masks, images
    )


def forge(name: str, forged: Forged) -> None:
    """Forge a copy, with hashes and manifests that fit unless the forgery is a plain one."""
    ALL[name][1](forged)
    if name not in PLAIN:
        sealed(folder for folder in forged.all() if folder.exists())


def row_of(name: str, finished: Finished, store: Path) -> tuple[str, ...]:
    """Return the forgery in words, and what finds it: without data, by counting, by predicting again."""
    checks = (*CHECKS, *recounting(finished.store / "cache", Sampling(images=1000)))
    levels: dict[str, str] = {}
    for outcome in verify(finished.audit(store), checks).outcomes:
        for finding in outcome.findings:
            check = outcome.check.name
            levels[check] = "error" if "error" in (levels.get(check), finding.level) else "warning"
    more = ("recount", "weights")
    usual = {check: level for check, level in levels.items() if check not in more}
    with_data = ({check: level for check, level in levels.items() if check == name} for name in more)
    return (ALL[name][0], told(usual), *map(told, with_data))


def told(levels: Found) -> str:
    """Return findings as the page has them: errors, or warnings where there is nothing else."""
    errors = [name for name, level in levels.items() if level == "error"]
    return ", ".join(errors) or ", ".join(f"{name} (warning)" for name in levels) or "-"


def line(name: str, row: tuple[str, ...]) -> str:
    """Return a row of the table."""
    return f"| `{name}` | {' | '.join(row)} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        finished = finish(Path(folder) / "study")
        print(HEADER)
        for name in sys.argv[1:] or ALL:
            forged = copied(finished, Path(folder) / name)
            forge(name, forged)
            print(line(name, row_of(name, finished, forged.store)), flush=True)
            shutil.rmtree(forged.store)


if __name__ == "__main__":
    main()
