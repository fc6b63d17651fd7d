"""MRI slices: tissue where it belongs, slabs apart from each other, halves not mirrored into one another."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from itertools import pairwise
from typing import Any

import nibabel
import numpy as np
import pytest

from bench_core import DatasetRequest
from bench_core.errors import DataError, MissingDependencyError
from bench_core.options import complete_options
from bench_datasets.mni152 import THIRDS, Mni152Reader, open_mni152
from bench_datasets.plugin import MNI152


def reader(**given: Any) -> Mni152Reader:
    return open_mni152(DatasetRequest(root=None, options=complete_options(MNI152.options, given)))


def test_tissue_is_where_the_t1_image_says() -> None:
    axial = reader()
    sample = axial.samples()[len(axial.samples()) // 2]
    image, mask = axial.read(sample)
    assert image.shape == (233, 197, 1) and mask.shape == (233, 197)
    brightness = [image[mask == label].mean() for label in (0, 1, 2)]
    assert brightness[0] < brightness[1] < brightness[2]
    assert (mask == 1).mean() > 0.1 and (mask == 2).mean() > 0.1
    # The back of the head is down: there the brain of this slice is wider than at the front.
    assert not mask[:10].any() and mask[40:-40].any()


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize(("spacing", "slab", "gap"), [(2, 8, 4), (1, 5, 3), (3, 7, 0)])
def test_slabs_keep_their_distance(plane: str, spacing: int, slab: int, gap: int) -> None:
    numbers = defaultdict(list)
    for sample in reader(plane=plane, spacing=spacing, slab=slab, gap=gap).samples():
        numbers[sample.group].append(int(sample.id.rpartition("-")[2]))
    slabs = sorted(numbers.values())
    assert len(slabs) >= 5
    for inside, following in pairwise(slabs):
        assert max(inside) - min(inside) < slab
        assert set(np.diff(inside)) <= {spacing}
        assert min(following) - max(inside) > gap


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_no_slice_is_nearly_empty_or_a_mirror_image_of_another(plane: str) -> None:
    slices = reader(plane=plane, spacing=8)
    images, masks = zip(*(slices.read(sample) for sample in slices.samples()), strict=True)
    assert all((mask > 0).mean() > 0.02 for mask in masks)
    for number, image in enumerate(images):
        for other in images[number + 1 :]:
            assert (image != other).any() and (image != other[:, ::-1]).any()


def test_sagittal_slices_come_from_one_half() -> None:
    assert max(int(sample.id[-3:]) for sample in reader(plane="sagittal", spacing=1).samples()) <= 98


def test_without_nilearn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="needs the package nilearn\n  fix: pip install"):
        reader()


def test_a_nilearn_without_the_files_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    class Found:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Found)
    with pytest.raises(DataError, match="carries no mni_icbm152_t1"):
        reader()


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_slices_say_where_they_lie_and_how_large_a_pixel_is(plane: str) -> None:
    samples = reader(plane=plane).samples()
    parts = [sample.attributes["position"] for sample in samples]
    assert list(dict.fromkeys(parts)) == list(THIRDS[plane])
    numbers = [sample.attributes["slice"] for sample in samples]
    assert numbers == [int(sample.id.rpartition("-")[2]) for sample in samples]
    affine = nibabel.load(samples[0].files[0]).affine
    assert np.allclose(np.abs(affine[:3, :3]), np.eye(3))
    assert {sample.spacing for sample in samples} == {(1.0, 1.0)}
