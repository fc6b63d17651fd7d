"""Each broken step and procedure fails by the property that names its fault, right ones by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.conformance.properties import Finding, judge
from bench_core.conformance.work_subject import WorkSubject
from bench_core.conformance.works import PROPERTIES, procedure_subject, step_subject
from bench_core.plugins.wiring import load_registry
from tests.helpers import broken_works
from tests.helpers.broken_works import PROCEDURES, STEPS, Broken

PLUGIN = Path(broken_works.__file__)
REGISTRY = load_registry([PLUGIN])
pytestmark = pytest.mark.usefixtures("one_thread")


def tried(subject: WorkSubject) -> list[Finding]:
    """Findings up to the first that is wrong."""
    found: list[Finding] = []
    for item in PROPERTIES:
        found.append(judge(item, subject))
        if found[-1].state == "wrong":
            break
    return found


def expect(found: list[Finding], broken: Broken) -> None:
    *before, last = found
    assert (last.name, last.state) == (broken.property, "wrong"), last
    assert all(item.state in ("ok", "skipped") for item in before)
    assert last.note and last.fix and last.place, last


LONG = ("right-network", "native", "transfer", "ensemble", "corruption", "cost", "grad-cam", "fold-maps")


@pytest.mark.parametrize(
    "name", ["right", "timed", "measure", *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_right_steps_have_every_property(name: str) -> None:
    found = tried(step_subject(REGISTRY, name, {}))
    assert len(found) == len(PROPERTIES), found[-1]
    skipped = [item.name for item in found if item.state == "skipped"]
    assert skipped == (
        [] if name in ("right-network", "transfer", "ensemble") else ["masks of tested images stay unseen"]
    ), found


def test_a_right_procedure_has_every_property() -> None:
    found = tried(procedure_subject(REGISTRY, "right-procedure", {}))
    assert [(item.name, item.state, item.note) for item in found] == [
        (item.name, "ok", "") for item in PROPERTIES
    ]


def test_every_property_is_broken_by_something() -> None:
    caught = {broken.property for broken in (*STEPS, *PROCEDURES)}
    assert {item.name for item in PROPERTIES} - caught == {"loading it is light"}


@pytest.mark.parametrize("broken", STEPS, ids=lambda broken: broken.name)
def test_a_broken_step_fails_by_what_it_breaks(broken: Broken) -> None:
    expect(tried(step_subject(REGISTRY, broken.name, {})), broken)


@pytest.mark.slow
@pytest.mark.parametrize("broken", PROCEDURES, ids=lambda broken: broken.name)
def test_a_broken_procedure_fails_by_what_it_breaks(broken: Broken) -> None:
    expect(tried(procedure_subject(REGISTRY, broken.name, {})), broken)


def test_options_reach_what_is_tried() -> None:
    subject = procedure_subject(REGISTRY, "right-procedure", {"level": 0.5})
    assert [left.values["level"] for left in subject.usual] == [0.5]
