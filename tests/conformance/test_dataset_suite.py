"""Each broken dataset fails by the property that names its fault, and a right one by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.conformance.datasets import PROPERTIES, Finding, judge, subject_of
from bench_core.conformance.declared import light_to_load
from bench_core.conformance.properties import Wrong
from bench_core.plugins.wiring import load_registry
from tests.helpers import broken_datasets
from tests.helpers.broken_datasets import BROKEN, Broken, write_cases

PLUGIN = Path(broken_datasets.__file__)
REGISTRY = load_registry([PLUGIN])


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases") / "cases")


def tried(name: str, root: Path) -> list[Finding]:
    """Findings up to the first that is wrong."""
    subject = subject_of(REGISTRY, name, {}, root)
    found: list[Finding] = []
    for item in PROPERTIES:
        found.append(judge(item, subject))
        if found[-1].state == "wrong":
            break
    return found


def test_a_right_dataset_has_every_property(cases: Path) -> None:
    found = tried("right", cases)
    assert [(item.name, item.state, item.note) for item in found] == [
        (item.name, "ok", "") for item in PROPERTIES
    ]


def test_copies_are_kept_together_as_a_study_keeps_them(cases: Path) -> None:
    """Images with equal pixels are joined before folds are dealt, so that they are no leak."""
    (item,) = (item for item in PROPERTIES if item.name == "a cache can be made, and nothing leaks")
    found = judge(item, subject_of(REGISTRY, "two-equal", {}, cases))
    assert (found.state, found.note) == ("ok", "")


def test_every_property_is_broken_by_something() -> None:
    caught = {broken.property for broken in BROKEN}
    assert {item.name for item in PROPERTIES} - caught == {"loading it is light"}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_fault_is_named_by_its_property(broken: Broken, tmp_path: Path) -> None:
    *before, last = tried(broken.name, write_cases(tmp_path / "cases"))
    assert (last.name, last.state) == (broken.property, "wrong"), last.note
    assert all(item.state in ("ok", "skipped") for item in before)
    assert last.note and last.fix, last
    assert last.place, last


HEAVY = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
{before}
from bench_core import Dataset, Task, hookimpl

@hookimpl
def bench_datasets():
    {inside}
    task = Task(classes=("one",), channels=1)
    return [Dataset(name="heavy", version=1, task=task, open="nowhere:Reader", needs_root=False)]
"""


@pytest.mark.parametrize(
    ("before", "inside", "says"),
    [
        ("import jax", "", "imports jax"),
        ("", "from jax import numpy", "imports jax"),
        ("TEXT = Path(__file__).with_name('classes.txt').read_text()", "", "opens .*classes.txt"),
        ("", "open(Path(__file__).with_name('classes.txt')).close()", "opens .*classes.txt"),
        ("import socket", "socket.getaddrinfo('localhost', 80)", "connects to localhost"),
        ("import json, numpy", "json.dumps({})", ""),
    ],
)
def test_what_loading_a_plugin_does(tmp_path: Path, before: str, inside: str, says: str) -> None:
    (tmp_path / "classes.txt").write_text("one")
    (tmp_path / "jax.py").write_text("numpy = None  # stands for a framework, which takes seconds")
    plugin = tmp_path / "heavy.py"
    plugin.write_text(HEAVY.format(before=before, inside=inside or "pass"))
    subject = subject_of(load_registry([plugin]), "heavy", {}, None)
    if not says:
        light_to_load(subject)
        return
    with pytest.raises(Wrong, match=says):
        light_to_load(subject)
