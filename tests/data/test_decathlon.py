"""Decathlon volumes: windows, planes, empty slices, and what is told of damaged folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from bench_core.data.folds import assign_folds
from tests.helpers.layouts import DECLARED, labels, opened, told, write_decathlon

IMAGE, LABEL = "imagesTr/hippocampus_001.nii.gz", "labelsTr/hippocampus_001.nii.gz"
NAME = "monai-decathlon"


def change(**fields: Any) -> Callable[[Path], object]:
    """Set fields of dataset.json."""

    def harm(root: Path) -> None:
        table = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps(table | fields))

    return harm


def replace(path: str, values: Any, affine: Any = None) -> Callable[[Path], object]:
    """Write another volume."""
    place = np.diag([0.5, 0.7, 3.0, 1.0]) if affine is None else affine
    return lambda root: nibabel.save(nibabel.Nifti1Image(values, place), root / path)


def drop(path: str) -> Callable[[Path], object]:
    """Delete a file."""
    return lambda root: (root / path).unlink()


def cut(path: str) -> Callable[[Path], object]:
    """Keep half of a file."""
    return lambda root: (root / path).write_bytes(
        (root / path).read_bytes()[: (root / path).stat().st_size // 2]
    )


SHAPE = (13, 10, 8)
OUTSIDE = [{"image": "../a.nii.gz", "label": "b.nii.gz"}]
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no table": (drop("dataset.json"), "dataset.json", "is missing"),
    "no image": (drop(IMAGE), IMAGE, "is missing: training[1]"),
    "no label": (drop(LABEL), LABEL, "is missing: training[1]"),
    "an empty file": (lambda root: (root / IMAGE).write_bytes(b""), IMAGE, "cannot be decoded"),
    "another shape": (replace(LABEL, labels(0, (13, 10, 7))), LABEL, "is 13 x 10 x 7 voxels"),
    "another place": (
        replace(LABEL, labels(0, SHAPE), np.diag([0.5, 0.7, 2.0, 1.0])), LABEL, "mm beside its image"
    ),
    "mirrored labels": (
        replace(LABEL, labels(0, SHAPE), np.diag([-0.5, 0.7, 3.0, 1.0])), LABEL, "mm beside its image"
    ),
    "several channels": (
        replace(IMAGE, np.zeros((*SHAPE, 2), np.int16)), IMAGE, "has 2 channels, the options say"
    ),
    "labels in halves": (replace(LABEL, np.full(SHAPE, 0.5, np.float32)), LABEL, "not whole numbers"),
    "a further label": (replace(LABEL, labels(0, SHAPE) * 2), LABEL, "values that mean no class: 4"),
    "not finite": (replace(IMAGE, np.full(SHAPE, np.nan, np.float32)), IMAGE, "not finite"),
    "another number": (change(numTraining=9), "dataset.json", "numTraining is 9, but training lists 4"),
    "no list": (change(training={}), "dataset.json", "training must list"),
    "out of the root": (change(training=OUTSIDE, numTraining=1), "dataset.json", "training[0] names no"),
    "labels the other way": (change(labels={"background": 0}), "dataset.json", "labels must map values to"),
    "swapped labels": (
        change(labels={"0": "background", "2": "Anterior", "1": "Posterior"}), "dataset.json",
        "classes: {Posterior: 1, Anterior: 2}",
    ),
    "a label more": (
        change(labels={"0": "background", "1": "Anterior", "2": "Posterior", "3": "tail"}),
        "dataset.json", "tail: 3",
    ),
    "two modalities": (change(modality={"0": "T1", "1": "T2"}), "dataset.json", "write `channels: 2`, not 1"),
    "of nnU-Net": (change(channel_names={"0": "CT"}), "dataset.json", "write `name: nnunet`"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_once(name: str, tmp_path: Path) -> None:
    harm, path, words = CASES[name]
    root = tmp_path / "root"
    write_decathlon(root)
    harm(root)
    lines = [line for line in told(NAME, root, tmp_path / "cache") if path in line]
    assert len(lines) == 1 and words in lines[0], lines


@pytest.mark.parametrize("path", [IMAGE, LABEL])
def test_a_volume_that_is_cut_off_is_named(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_decathlon(root)
    cut(path)(root)
    lines = told(NAME, root, tmp_path / "cache")
    assert len(lines) == 1 and path in lines[0] and "cannot be decoded" in lines[0]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0), ("acquired", 2)])
def test_slices_of_a_plane_have_the_window_in_hounsfield_units(
    plane: str, axis: int, ending: str, tmp_path: Path
) -> None:
    arrays = write_decathlon(tmp_path, ending=ending)
    reader = opened(NAME, tmp_path, plane=plane, window=[-100, 240])
    samples = reader.samples()
    assert len(samples) == sum(values.shape[axis] for values, _ in arrays.values())
    for sample in samples:
        values, mask = arrays[sample.group]
        number = int(sample.attributes["slice"])
        part = np.take(values, number, axis).T[::-1].astype(np.float64)
        expected = np.clip(np.floor((part + 100) * 255 / 340 + 0.5), 0, 255)
        image, found = reader.read(sample)
        assert (image[:, :, 0] == expected).all() and (found == np.take(mask, number, axis).T[::-1]).all()


def test_without_a_window_nearly_all_values_of_a_volume_are_told_apart(tmp_path: Path) -> None:
    write_decathlon(tmp_path)
    reader = opened(NAME, tmp_path)
    first = [each for each in reader.samples() if each.group == "hippocampus_000"]
    values = np.concatenate([reader.read(sample)[0].ravel() for sample in first])
    assert values.min() == 0 and values.max() == 255 and ((values > 0) & (values < 255)).mean() > 0.98


def test_volumes_of_several_channels_have_a_window_each(tmp_path: Path) -> None:
    arrays = write_decathlon(tmp_path, channels=2)
    reader = opened(NAME, tmp_path, channels=2, window=[[-1000, 1000], [0, 255]])
    sample = reader.samples()[3]
    image, _ = reader.read(sample)
    values = arrays[sample.group][0][:, :, 3].swapaxes(0, 1)[::-1].astype(np.float64)
    assert (image[:, :, 1] == np.clip(values[:, :, 1], 0, 255)).all()
    assert (image[:, :, 0] == np.clip(np.floor((values[:, :, 0] + 1000) * 255 / 2000 + 0.5), 0, 255)).all()


@pytest.mark.parametrize("options", [{}, {"classes": {"Posterior": 2}, "background": "rest"}])
def test_empty_slices_are_left_out_if_asked_and_counted(options: dict[str, Any], tmp_path: Path) -> None:
    write_decathlon(tmp_path)
    kept, dropped = (opened(NAME, tmp_path, empty_slices=policy, **options) for policy in ("keep", "drop"))
    shown = [sample.id for sample in kept.samples() if kept.read(sample)[1].any()]
    assert [sample.id for sample in dropped.samples()] == shown and 0 < len(shown) < len(kept.samples())
    gone = len(kept.samples()) - len(shown)
    assert dropped.remarks() == [f"left out: {gone} slices of background alone (empty_slices: drop)"]


def test_slices_of_a_volume_never_lie_in_two_folds(tmp_path: Path) -> None:
    write_decathlon(tmp_path)
    samples = opened(NAME, tmp_path).samples()
    folds = assign_folds([each.id for each in samples], [each.group for each in samples], 4, seed=0)
    by_group = {each.group: set() for each in samples}  # type: ignore[var-annotated]
    for sample, fold in zip(samples, folds.tolist(), strict=True):
        by_group[sample.group].add(fold)
    assert all(len(found) == 1 for found in by_group.values())


def test_volumes_that_no_list_names_are_told(tmp_path: Path) -> None:
    write_decathlon(tmp_path)
    (tmp_path / "imagesTr/extra.nii.gz").write_bytes(b"x")
    (tmp_path / "imagesTr/._hippocampus_000.nii.gz").write_bytes(b"x")
    assert opened(NAME, tmp_path).remarks() == [
        "passed over: 1 volumes in imagesTr that dataset.json does not list: extra.nii.gz"
    ]


@pytest.mark.parametrize("window", ["wide", [1, 1], [240, -100], [[0, 1]], 5, [True, False]])
def test_a_window_that_is_none_is_an_error_of_the_spec(window: Any) -> None:
    with pytest.raises(ValueError, match=r"window|intensity"):
        DECLARED[NAME].task_for({"classes": {"a": 1}, "channels": 2, "window": window})
