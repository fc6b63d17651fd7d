"""Each broken metric fails by the property that names its fault, right ones and first-party ones by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.conformance.metrics import PROPERTIES, Finding, judge, subject_of
from bench_core.plugins.wiring import load_registry
from tests.helpers import broken_metrics
from tests.helpers.broken_metrics import BROKEN, Broken

PLUGIN = Path(broken_metrics.__file__)
FIRST_PARTY = load_registry().metrics
REGISTRY = load_registry([PLUGIN])


def tried(name: str) -> list[Finding]:
    """Findings up to the first that is wrong."""
    subject = subject_of(REGISTRY, name, {})
    found: list[Finding] = []
    for item in PROPERTIES:
        found.append(judge(item, subject))
        if found[-1].state == "wrong":
            break
    return found


@pytest.mark.parametrize("name", ["right", "right-distance", "right-counts", "right-one", *FIRST_PARTY])
def test_right_metrics_have_every_property(name: str) -> None:
    found = tried(name)
    assert len(found) == len(PROPERTIES), found[-1]
    skipped = {item.name for item in found if item.state == "skipped"}
    if REGISTRY.metric(name).needs == "counts":
        assert skipped == {"ignored pixels count nowhere", "lengths follow the spacing"}
    else:
        lengths = {"lengths follow the spacing"} if REGISTRY.metric(name).unit == "fraction" else set()
        assert skipped == {"counts of every shape are taken", *lengths}


def test_every_property_is_broken_by_something() -> None:
    caught = {broken.property for broken in BROKEN}
    assert {item.name for item in PROPERTIES} - caught == {"loading it is light"}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_fault_is_named_by_its_property(broken: Broken) -> None:
    *before, last = tried(broken.name)
    assert (last.name, last.state) == (broken.property, "wrong"), last
    assert all(item.state in ("ok", "skipped") for item in before)
    assert last.note and last.fix, last
