"""What every first-party dataset must do: the shipped suite, one test a property.

Your own: bench test my-data --plugin my_data.py --root path/of/data
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench_core import Dataset, FakeRequest, Task
from bench_core.conformance.datasets import PROPERTIES, DatasetSubject, Property, judge, subject_of
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from tests.helpers.layouts import OPTIONS, WRITERS
from tests.helpers.pictures import write_folder

VARIANTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("synthetic", {"look": "dermoscopy", "samples": 20, "size": 48, "groups": 7}),
    ("synthetic", {"look": "endoscopy", "samples": 20, "size": 48, "difficulty": 1.0}),
    ("synthetic", {"look": "ultrasound", "samples": 20, "size": 48, "difficulty": 0.0}),
    ("mni152", {"plane": "axial"}),
    ("mni152", {"plane": "coronal", "slab": 12, "spacing": 6}),
    ("mni152", {"plane": "sagittal"}),
    ("folder", {"classes": {"lesion": 255}}),
    ("neopolyp", {"allow_missing": True, "groups": "session"}),
    *((name, {"allow_missing": True}) for name in (
        "isic2018", "camus",
        "kvasir-seg", "hyperkvasir", "cvc-clinicdb", "cvc-colondb", "etis", "ph2", "ham10000", "busi",
    )),
    *OPTIONS.items(),
)  # fmt: skip
"""First-party datasets with the options that they are checked under."""
USUAL = {
    [name for name, _ in VARIANTS].index(wanted)
    for wanted in ("synthetic", "mni152", "folder", "neopolyp", "isic2018", "camus", "nnunet")
}
"""One of each kind of reader, which the default suite tries; the slow one tries the others."""
HEAVY = ("torch", "torchvision", "PIL", "cv2", "nibabel", "nilearn", "scipy")
REGISTRY = load_registry()


DRAWN = 8
"""Samples of a small copy of a published dataset."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path | None]:
    """Return where a dataset lies: own images, or a small copy that is drawn when first asked for."""

    @functools.cache
    def root(name: str) -> Path | None:
        declared = REGISTRY.dataset(name)
        if not declared.needs_root:
            return None
        folder = tmp_path_factory.mktemp(name)
        if name in WRITERS:
            WRITERS[name](folder / "data")
            return folder / "data"
        if declared.fake is None:
            return write_folder(folder / "images-and-masks", 12)
        resolve_entry(declared.fake)(FakeRequest(root=folder, samples=DRAWN))
        return folder

    return root


@functools.lru_cache(maxsize=2)
def opened(number: int, root: Path | None) -> DatasetSubject:
    name, options = VARIANTS[number]
    return subject_of(REGISTRY, name, options, root)


@pytest.mark.parametrize("item", PROPERTIES, ids=lambda item: item.name)
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=f"{name}-{number}", marks=() if number in USUAL else pytest.mark.slow)
        for number, (name, _) in enumerate(VARIANTS)
    ],
)
def test_dataset(number: int, item: Property[DatasetSubject], roots: Callable[[str], Path | None]) -> None:
    finding = judge(item, opened(number, roots(VARIANTS[number][0])))
    if finding.state == "skipped":
        pytest.skip(finding.note)
    assert finding.state == "ok", finding


@pytest.mark.parametrize("declared", REGISTRY.datasets.values(), ids=REGISTRY.datasets)
class TestDeclaration:
    """One class for all declarations, those without a reader included."""

    def test_it_says_under_which_terms_and_how_to_get_it(self, declared: Dataset) -> None:
        assert declared.license.strip() and declared.how_to_get.strip() and declared.version >= 1

    def test_it_has_a_reader_or_says_why_not(self, declared: Dataset) -> None:
        assert (declared.open is None) == bool(declared.unavailable)
        if declared.open is not None:
            assert callable(resolve_entry(declared.open))

    def test_fixed_tasks_name_each_class_once(self, declared: Dataset) -> None:
        if isinstance(declared.task, Task):
            assert declared.task.classes and declared.task.channels >= 1
            assert len(set(declared.task.classes)) == len(declared.task.classes)
            assert all(name.strip() for name in declared.task.classes)

    def test_defaults_are_valid_and_options_explained(self, declared: Dataset) -> None:
        defaults = complete_options(declared.options, {})
        given = {name: value for name, value in defaults.items() if value is not None}
        assert complete_options(declared.options, given) == defaults
        assert all(option.help for option in declared.options.values())


def test_declaring_datasets_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench_datasets.plugin as plugin; plugin.bench_datasets();"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
