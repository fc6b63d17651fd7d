"""Each broken part of a report fails by the property that names its fault, right ones by none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench_core.conformance.analyses import PROPERTIES, AnalysisSubject, Finding, judge, subject_of
from bench_core.conformance.analysis_subject import STUDIES, made
from bench_core.conformance.ground import Study
from bench_core.conformance.world import with_world
from bench_core.plugins.wiring import load_registry
from tests.helpers import broken_analyses
from tests.helpers.broken_analyses import BROKEN, Broken

PLUGIN = Path(broken_analyses.__file__)
FIRST_PARTY = load_registry().analyses
USUAL = ("right", "summary", "comparisons")
"""Parts that the default suite tries; the slow one tries all."""
REGISTRY = load_registry([PLUGIN])
WORLD = with_world(REGISTRY)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """All that parts are asked about, run once: none of these parts changes what is in a job's folder."""
    folder = tmp_path_factory.mktemp("studies")
    return {name: made(WORLD, name, folder) for name in STUDIES}


@pytest.fixture(autouse=True)
def _clean(studies: dict[str, Study], one_thread: None) -> Iterator[None]:
    yield
    for study in studies.values():
        (study.store.path / "images.json").unlink(missing_ok=True)


def tried(name: str, studies: dict[str, Study]) -> list[Finding]:
    """Findings up to the first that is wrong."""
    subject: AnalysisSubject = subject_of(REGISTRY, name, {})
    subject._studies.update({key: study.under(subject.registry) for key, study in studies.items()})
    found: list[Finding] = []
    for item in PROPERTIES:
        found.append(judge(item, subject))
        if found[-1].state == "wrong":
            break
    return found


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in USUAL else pytest.mark.slow) for name in ("right", *FIRST_PARTY)],
)
def test_right_parts_have_every_property(name: str, studies: dict[str, Study]) -> None:
    found = tried(name, studies)
    assert [(item.name, item.state, item.note) for item in found] == [
        (item.name, "ok", "") for item in PROPERTIES
    ]


def test_every_property_is_broken_by_something() -> None:
    caught = {broken.property for broken in BROKEN}
    assert {item.name for item in PROPERTIES} - caught == {"loading it is light"}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_fault_is_named_by_its_property(broken: Broken, studies: dict[str, Study]) -> None:
    *before, last = tried(broken.name, studies)
    assert (last.name, last.state) == (broken.property, "wrong"), last
    assert all(item.state in ("ok", "skipped") for item in before)
    assert last.note and last.fix and last.place, last
