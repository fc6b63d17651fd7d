"""What every dataset must do, whoever wrote it.

Your own: pytest tests/conformance/test_datasets.py --plugin my_data.py --dataset my-data --root path/of/data
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core import Dataset, DatasetRequest, Task
from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds, check_leaks
from bench_core.data.samples import Reader, Sample, UInt8Array
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from tests.helpers.pictures import write_folder

VARIANTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("synthetic", {"look": "dermoscopy", "samples": 20, "size": 48, "groups": 7}),
    ("synthetic", {"look": "endoscopy", "samples": 20, "size": 48, "difficulty": 1.0}),
    ("synthetic", {"look": "ultrasound", "samples": 20, "size": 48, "difficulty": 0.0}),
    ("mni152", {"plane": "axial"}),
    ("mni152", {"plane": "coronal", "slab": 12, "spacing": 6}),
    ("mni152", {"plane": "sagittal"}),
    ("folder", {"classes": {"lesion": 255}}),
)
"""First-party datasets with the options that they are checked under."""
LOOKED_AT = 120
"""Of a large dataset so many samples, evenly spread, are read."""
HEAVY = ("torch", "torchvision", "PIL", "cv2", "nibabel", "nilearn", "scipy")


@dataclass
class Subject:
    """A dataset with options and root, opened when first needed."""

    declared: Dataset
    given: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None

    @property
    def options(self) -> dict[str, Any]:
        return complete_options(self.declared.options, self.given)

    @property
    def task(self) -> Task:
        return self.declared.task_for(self.options)

    def open(self) -> Reader:
        assert self.declared.open is not None
        reader = resolve_entry(self.declared.open)(DatasetRequest(root=self.root, options=self.options))
        assert isinstance(reader, Reader)
        return reader

    @cached_property
    def reader(self) -> Reader:
        return self.open()

    @cached_property
    def samples(self) -> list[Sample]:
        return list(self.reader.samples())

    @cached_property
    def chosen(self) -> list[Sample]:
        step = max(len(self.samples) // LOOKED_AT, 1)
        return self.samples[::step][:LOOKED_AT]

    @cached_property
    def pairs(self) -> list[tuple[UInt8Array, UInt8Array]]:
        return [self.reader.read(sample) for sample in self.chosen]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    registry = load_registry(metafunc.config.getoption("--plugin", default=[]))
    if "declared" in metafunc.fixturenames:
        metafunc.parametrize("declared", registry.datasets.values(), ids=registry.datasets)
    if "subject" not in metafunc.fixturenames:
        return
    wanted: list[tuple[str, Mapping[str, Any]]] = []
    for text in metafunc.config.getoption("--dataset", default=[]):
        name, _, options = text.partition("=")
        wanted.append((name, json.loads(options or "{}")))
    root = metafunc.config.getoption("--root", default=None)
    variants = wanted or VARIANTS
    metafunc.parametrize(
        "subject",
        [Subject(registry.dataset(name), options, root) for name, options in variants],
        ids=["-".join([name, *map(str, options.values())][:2]) for name, options in variants],
        scope="class",
    )


@pytest.fixture(scope="session")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("own") / "images-and-masks", 12)


class TestDataset:
    """One class for all datasets."""

    @pytest.fixture(autouse=True)
    def _with_root(self, subject: Subject, own_images: Path) -> None:
        if subject.declared.name == "folder" and subject.root is None:
            subject.root = own_images
        if subject.declared.needs_root and subject.root is None:
            pytest.skip("needs --root")

    def test_sample_ids_are_unique_plain_text(self, subject: Subject) -> None:
        ids = [sample.id for sample in subject.samples]
        assert ids and len(set(ids)) == len(ids)
        assert all(name and name.isprintable() for name in ids)

    def test_samples_come_in_the_same_order_each_time(self, subject: Subject) -> None:
        assert list(subject.reader.samples()) == subject.samples
        assert list(subject.open().samples()) == subject.samples

    def test_every_sample_has_a_group_and_files_that_exist(self, subject: Subject) -> None:
        assert all(sample.group and sample.group.isprintable() for sample in subject.samples)
        assert all(path.is_file() for sample in subject.chosen for path in sample.files)

    def test_groups_are_enough_for_five_folds(self, subject: Subject) -> None:
        ids = [sample.id for sample in subject.samples]
        folds = assign_folds(ids, [sample.group for sample in subject.samples], 5, seed=0)
        assert set(folds.tolist()) == {0, 1, 2, 3, 4}

    def test_arrays_are_what_the_task_declares(self, subject: Subject) -> None:
        for image, mask in subject.pairs:
            assert image.dtype == mask.dtype == np.uint8
            assert image.ndim == 3 and image.shape[2] == subject.task.channels
            assert mask.shape == image.shape[:2]
            assert mask.max() <= len(subject.task.classes)

    def test_every_class_occurs(self, subject: Subject) -> None:
        found = {int(label) for _, mask in subject.pairs for label in np.unique(mask)}
        assert found == set(range(len(subject.task.classes) + 1))

    def test_images_show_something(self, subject: Subject) -> None:
        assert all(image.min() < image.max() for image, _ in subject.pairs)

    def test_three_declared_channels_are_used(self, subject: Subject) -> None:
        # A gray dataset that declares three channels would waste memory and mislead `channels: native`.
        if subject.task.channels == 3:
            assert any((image != image[:, :, :1]).any() for image, _ in subject.pairs)

    def test_reading_again_gives_the_same_bytes(self, subject: Subject) -> None:
        fresh = subject.open()
        for number in range(len(subject.chosen) - 1, -1, -max(len(subject.chosen) // 6, 1)):
            image, mask = fresh.read(subject.chosen[number])
            assert (image == subject.pairs[number][0]).all()
            assert (mask == subject.pairs[number][1]).all()

    def test_reading_in_threads_gives_the_same_bytes(self, subject: Subject) -> None:
        with ThreadPoolExecutor(4) as pool:
            again = list(pool.map(subject.open().read, subject.chosen[:24]))
        for (image, mask), (other, other_mask) in zip(subject.pairs, again, strict=False):
            assert (image == other).all() and (mask == other_mask).all()

    def test_the_cache_opens_and_nothing_leaks(self, subject: Subject, tmp_path: Path) -> None:
        arrays = open_cache(
            _Part(subject.reader, subject.chosen),
            dataset=subject.declared.name,
            version=subject.declared.version,
            options=subject.options,
            image_size=32,
            resize="pad-square",
            root=tmp_path,
            task=subject.task,
        )
        assert arrays.ids == tuple(sample.id for sample in subject.chosen)
        assert arrays.images.shape == (len(subject.chosen), 32, 32, subject.task.channels)
        check_leaks(arrays, assign_folds(arrays.ids, arrays.groups, 2, seed=0))


@dataclass
class _Part:
    """Some of a dataset's samples."""

    reader: Reader
    chosen: list[Sample]

    def samples(self) -> list[Sample]:
        return self.chosen

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        return self.reader.read(sample)


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
