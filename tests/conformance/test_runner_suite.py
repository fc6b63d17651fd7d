"""The suite that compares runners: a correct one passes, and each broken one fails by the item it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench_core.conformance.job import KILLED_AT_STEP, KILLED_IN_EPOCH, Kind, Subject, make_job
from bench_core.conformance.observe import observe
from bench_core.conformance.record import Record
from bench_core.conformance.verdict import SHORT, Observed, Verdict, judge
from bench_core.plugins import Registry, load_registry
from bench_core.protocol.contract import RunOptions
from tests.helpers import broken_runners
from tests.helpers.broken_runners import BROKEN

PLUGIN = Path(broken_runners.__file__)
SMALL, SIZE = Subject("small-net"), 32


class Killed(BaseException):
    """Ends a training as nothing that a runner could handle."""


def kill(epoch: int, step: int) -> None:
    if (epoch, step) == (KILLED_IN_EPOCH, KILLED_AT_STEP):
        raise Killed


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry([PLUGIN])


def observed(registry: Registry, runner: str, folder: Path) -> Observed:
    """Train all jobs in this process."""

    def record(kind: Kind, name: str) -> Record:
        job = make_job(registry.model(SMALL.name), SMALL, runner, kind, SIZE)
        return observe(job, registry, folder / name, RunOptions())

    job = make_job(registry.model(SMALL.name), SMALL, runner, size=SIZE)
    resumed = None
    try:
        observe(job, registry, folder / "broken", RunOptions(), kill)
    except Killed:
        resumed = record("whole", "broken")
    short = {kind: record(kind, kind) for kind in SHORT}
    return Observed(record("whole", "whole"), resumed, "", short)


@pytest.fixture(scope="module")
def reference(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    return observed(registry, "torch", tmp_path_factory.mktemp("torch"))


def verdict(registry: Registry, reference: Observed, runner: str, folder: Path) -> Verdict:
    return judge("small-net", reference, observed(registry, runner, folder), exact=True)


def test_a_correct_loop_passes(registry: Registry, reference: Observed, tmp_path: Path) -> None:
    found = verdict(registry, reference, "correct", tmp_path)
    assert [row for row in found.rows if row.state != "equal"] == []
    assert found.equal


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_runner_fails_by_the_item_that_it_breaks(
    registry: Registry, reference: Observed, tmp_path: Path, broken: broken_runners.Broken
) -> None:
    found = verdict(registry, reference, broken.name, tmp_path)
    assert not found.equal
    assert found.first is not None
    assert found.first.item == broken.item, found.first
