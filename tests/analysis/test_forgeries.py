"""Forgeries that were tried on finished stores: which check finds each is a table of docs/verify.md."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench_core.analysis.verify.predicted import Sampling
from bench_core.analysis.verify.run import CHECKS, recounting, verify
from bench_core.data.opening import open_reader
from bench_core.execute.datasets import source_of
from tests.helpers.forgeries import Forged, sealed
from tests.helpers.forgery_list import BEYOND, FORGERIES, PLAIN
from tests.helpers.verified_study import Finished, finish

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
ALL = FORGERIES | BEYOND
Found = dict[str, str]
"""Checks that find something, each with the highest level of its findings."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("forged"))


@pytest.fixture
def forged(finished: Finished, tmp_path: Path) -> Iterator[Forged]:
    store = tmp_path / "results"
    shutil.copytree(finished.store, store, ignore=shutil.ignore_patterns("cache"))
    subjects = finished.audit().subjects
    reader = open_reader(source_of(subjects[0].job.dataset, finished.loaded.registry))
    samples = {sample.id: sample for sample in reader.samples()}

    def masks(sample: str) -> NDArray[np.uint8]:
        return reader.read(samples[sample])[1]

    def images(sample: str) -> NDArray[np.uint8]:
        return reader.read(samples[sample])[0]

    yield Forged(store, {item.job.name: store / "jobs" / item.job.digest for item in subjects}, masks, images)


def found(finished: Finished, store: Path) -> tuple[Found, Found, Found]:
    """Return what finds something without the data, more with them, and more with the weights."""
    checks = (*CHECKS, *recounting(finished.store / "cache", Sampling(images=1000)))
    levels: Found = {}
    for outcome in verify(finished.audit(store), checks).outcomes:
        for finding in outcome.findings:
            name = outcome.check.name
            levels[name] = "error" if "error" in (levels.get(name), finding.level) else "warning"
    usual = {name: level for name, level in levels.items() if name not in ("recount", "weights")}
    return (
        usual,
        {name: level for name, level in levels.items() if name == "recount"},
        {name: level for name, level in levels.items() if name == "weights"},
    )


def told(levels: Found) -> str:
    """Return findings as the page has them: errors, or warnings where there is nothing else."""
    errors = [name for name, level in levels.items() if level == "error"]
    return ", ".join(errors) or ", ".join(f"{name} (warning)" for name in levels) or "-"


@pytest.mark.parametrize("name", ALL)
def test_a_forgery_is_found_by_the_checks_that_the_page_names(
    finished: Finished, forged: Forged, name: str
) -> None:
    what, forge = ALL[name]
    forge(forged)
    if name not in PLAIN:
        sealed(folder for folder in forged.all() if folder.exists())
    cells = tuple(told(levels) for levels in found(finished, forged.store))
    assert (what, *cells) == ROWS.get(name), f"| `{name}` | {what} | {' | '.join(cells)} |"


ROWS = {row[0]: row[1:] for row in ROW.findall(PAGE)}


def test_the_page_has_each_forgery_once_and_counts_them() -> None:
    assert list(ROWS) == list(ALL) and len(FORGERIES) == 63
    without = sum(cells[1] != "-" for name, cells in ROWS.items() if name in FORGERIES)
    with_data = sum(cells[1:3] != ("-", "-") for name, cells in ROWS.items() if name in FORGERIES)
    assert f"{without} of the 63 are found without the data, {with_data} with them" in PAGE.replace("\n", " ")
    assert all(any(cell != "-" for cell in cells[1:]) for name, cells in ROWS.items() if name in FORGERIES)
