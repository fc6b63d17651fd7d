"""Each broken executor fails by the property that names its fault, right ones by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.conformance.executors import PROPERTIES, Finding, judge, subject_of
from bench_core.errors import BenchError
from bench_core.execute.fleets import lacking
from bench_core.plugins.wiring import load_registry
from tests.helpers import broken_executors
from tests.helpers.broken_executors import BROKEN, Broken

REGISTRY = load_registry([Path(broken_executors.__file__)])
ENDING_SECONDS = 2.5


def tried(name: str, patience: float, ending: float) -> list[Finding]:
    """Findings up to the first that is wrong."""
    subject = subject_of(REGISTRY, name, {}, patience, ending)
    found: list[Finding] = []
    for item in PROPERTIES:
        found.append(judge(item, subject))
        if found[-1].state == "wrong":
            break
    return found


def test_every_property_is_broken_by_something() -> None:
    caught = {broken.property for broken in BROKEN}
    assert {item.name for item in PROPERTIES} - caught == {"loading it is light"}


@pytest.mark.slow
def test_an_executor_that_cannot_tell_who_is_alive_has_every_property() -> None:
    """The one that `bench new` writes is tried in test_test_kinds."""
    found = tried("right-cannot-tell", 60.0, 30.0)
    assert len(found) == len(PROPERTIES), found[-1]
    skipped = {item.name for item in found if item.state == "skipped"}
    assert skipped == {"another process finds and stops its workers"}


@pytest.mark.slow
def test_ray_has_the_properties_of_workers_that_end_by_themselves() -> None:
    """Those that take no further cluster; on Slurm all are tried where its emulated cluster is."""
    registry = load_registry()
    reason = lacking(registry.executor("ray"))
    if reason:
        pytest.skip(reason)
    subject = subject_of(registry, "ray", {})
    found = [judge(item, subject) for item in PROPERTIES[:10]]
    assert [item for item in found if item.state != "ok"] == []


@pytest.mark.parametrize(
    "broken",
    [pytest.param(item, marks=() if item.quick else pytest.mark.slow, id=item.name) for item in BROKEN],
)
def test_a_fault_is_named_by_its_property(broken: Broken) -> None:
    *before, last = tried(broken.name, broken.patience, ENDING_SECONDS)
    assert (last.name, last.state) == (broken.property, "wrong"), last
    assert all(item.state in ("ok", "skipped") for item in before)
    assert last.note and last.fix, last


def test_an_executor_that_cannot_be_used_here_is_not_tried() -> None:
    with pytest.raises(BenchError, match="unknown executor"):
        subject_of(REGISTRY, "rihgt", {})
    with pytest.raises(BenchError, match="cannot take these options"):
        subject_of(REGISTRY, "right", {"nodes": 4})
