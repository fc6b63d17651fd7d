"""nnU-Net's raw data: channels, regions, ignored labels, volumes, and what is told of damaged folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.helpers.layouts import labels, opened, told, write_nnunet

TOP = "Dataset901_Eyes"
TABLE = f"{TOP}/dataset.json"
IMAGE, LABEL = f"{TOP}/imagesTr/eye_01_0000.png", f"{TOP}/labelsTr/eye_01.png"


def change(**fields: Any) -> Callable[[Path], object]:
    """Set fields of dataset.json."""

    def harm(root: Path) -> None:
        table = json.loads((root / TABLE).read_text())
        (root / TABLE).write_text(json.dumps(table | fields))

    return harm


def paint(path: str, pixels: Any) -> Callable[[Path], object]:
    """Write other pixels into a file."""
    return lambda root: Image.fromarray(pixels).save(root / path)


def cut(path: str) -> Callable[[Path], object]:
    """Keep half of a file."""
    return lambda root: (root / path).write_bytes(
        (root / path).read_bytes()[: (root / path).stat().st_size // 2]
    )


def drop(path: str) -> Callable[[Path], object]:
    """Delete a file."""
    return lambda root: (root / path).unlink()


LISTED = {"eye_00": {"images": ["imagesTr/eye_00_0000.png"], "label": "../../outside.png"}}
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no table": (drop(TABLE), "dataset.json", "is missing"),
    "a broken table": (lambda root: (root / TABLE).write_text("{"), TABLE, "cannot be read as JSON"),
    "no labels": (drop(LABEL), LABEL, "is missing: the labels of eye_01"),
    "no image": (drop(IMAGE), IMAGE, "is missing: the image of eye_01.png"),
    "cut off": (cut(IMAGE), IMAGE, "cannot be decoded"),
    "labels of another size": (paint(LABEL, labels(0, (10, 12))), LABEL, "is 12 x 10 pixels"),
    "a label that is not listed": (
        paint(LABEL, np.full((20, 24), 3, np.uint8)), LABEL, "values that mean no class: 3"
    ),
    "labels of 255": (paint(LABEL, labels(0, (20, 24), 1) * 255), LABEL, "values that mean no class: 255"),
    "another number": (change(numTraining=7), TABLE, "numTraining is 7, but 6 cases"),
    "an unread format": (change(file_ending=".mha"), TABLE, "file_ending is '.mha'"),
    "labels of other names": (
        change(labels={"background": 0, "disc": 1, "cup": 2}), TABLE, "are `classes: {disc: 1, cup: 2}`"
    ),
    "a further label": (
        change(labels={"background": 0, "cup": 1, "disc": 2, "vessel": 3}), TABLE, "vessel: 3"
    ),
    "an ignored label": (
        change(labels={"background": 0, "cup": 1, "disc": 2, "ignore": 3}), TABLE, "and `ignore: 3`"
    ),
    "other channels": (change(channel_names={"0": "gray"}), TABLE, "write `channels: 1`, not 3"),
    "channels without order": (change(channel_names={"0": "R", "2": "B"}), TABLE, "channel_names must name"),
    "labels from 1": (change(labels={"cup": 1, "disc": 2}), TABLE, "background to 0"),
    "a path out of the root": (change(dataset=LISTED, numTraining=0), TABLE, "below the root"),
    "a path in a variable": (
        change(dataset={"a": {"images": ["$HOME/a.png"], "label": "b.png"}}, numTraining=0),
        TABLE, "below the root",
    ),
    "version 1": (
        lambda root: (root / TABLE).write_text(json.dumps({"modality": {"0": "CT"}, "labels": {"0": "x"}})),
        TABLE, "write `name: monai-decathlon`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_once(name: str, tmp_path: Path) -> None:
    harm, path, words = CASES[name]
    root = tmp_path / "root"
    write_nnunet(root)
    assert told("nnunet", root, tmp_path / "before") == []
    harm(root)
    lines = [line for line in told("nnunet", root, tmp_path / "after") if path in line]
    assert len(lines) == 1 and words in lines[0], lines


@pytest.mark.parametrize("together", [True, False])
def test_channels_in_one_file_or_in_several_are_read_alike(together: bool, tmp_path: Path) -> None:
    arrays = write_nnunet(tmp_path, together=together)
    reader = opened("nnunet", tmp_path)
    samples = reader.samples()
    assert [sample.id for sample in samples] == sorted(arrays) and len(samples[0].files) == (
        2 if together else 4
    )
    for sample in samples:
        image, mask = reader.read(sample)
        assert (image == arrays[sample.id][0]).all() and (mask == arrays[sample.id][1]).all()


def test_a_missing_channel_is_told(tmp_path: Path) -> None:
    write_nnunet(tmp_path / "root", together=False)
    (tmp_path / f"root/{TOP}/imagesTr/eye_02_0001.png").unlink()
    lines = told("nnunet", tmp_path / "root", tmp_path / "cache")
    assert len(lines) == 1 and "expected channels _0000, _0001, _0002" in lines[0] and "eye_02" in lines[0]


def test_regions_are_given_as_exclusive_classes_by_value(tmp_path: Path) -> None:
    arrays = write_nnunet(tmp_path)
    change(labels={"background": 0, "eye": [1, 2], "disc": [2]}, regions_class_order=[1, 2])(tmp_path)
    lines = told("nnunet", tmp_path, tmp_path / "cache", classes={"eye": 1})
    assert sum("classes: {eye: 1, disc: 2}" in line for line in lines) == 1
    reader = opened("nnunet", tmp_path, classes={"eye": [1, 2]})
    for sample in reader.samples():
        assert (reader.read(sample)[1] == (arrays[sample.id][1] > 0)).all()


def test_the_ignored_label_becomes_the_ignored_index(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    change(labels={"background": 0, "cup": 1, "ignore": 2})(tmp_path)
    reader = opened("nnunet", tmp_path, classes={"cup": 1}, ignore=2)
    found = {int(value) for sample in reader.samples() for value in np.unique(reader.read(sample)[1])}
    assert found == {0, 1, 255}


def test_patients_of_several_images_share_a_group(tmp_path: Path) -> None:
    write_nnunet(tmp_path)
    groups = [each.group for each in opened("nnunet", tmp_path, group_pattern=r"eye_(\d)").samples()]
    assert set(groups) == {"0"}
    lines = told("nnunet", tmp_path, tmp_path / "cache", group_pattern=r"ear_(\d)")
    assert len(lines) == 6 and all("finds no group" in line for line in lines)


def test_cases_that_the_table_lists_are_read_from_where_it_says(tmp_path: Path) -> None:
    arrays = write_nnunet(tmp_path)
    (tmp_path / TOP / "imagesTr").rename(tmp_path / TOP / "pictures")
    entries = {
        case: {"images": [f"pictures/{case}_0000.png"], "label": f"labelsTr/{case}.png"} for case in arrays
    }
    change(dataset=entries)(tmp_path)
    reader = opened("nnunet", tmp_path)
    for sample in reader.samples():
        assert (reader.read(sample)[0] == arrays[sample.id][0]).all()


def test_volumes_are_slices_grouped_by_case_with_their_channels(tmp_path: Path) -> None:
    folder = tmp_path / TOP
    write_nnunet(tmp_path, 0)
    volumes = {}
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (6, 5, 4, 2)).astype(np.uint8)
        mask = labels(number, (6, 5, 4))
        affine = np.diag([1.0, 2.0, 5.0, 1.0])
        for channel in range(2):
            nibabel.save(
                nibabel.Nifti1Image(values[..., channel], affine),
                folder / f"imagesTr/c{number}_000{channel}.nii.gz",
            )
        nibabel.save(nibabel.Nifti1Image(mask, affine), folder / f"labelsTr/c{number}.nii.gz")
        volumes[f"c{number}"] = values, mask
    change(file_ending=".nii.gz", channel_names={"0": "T1", "1": "T2"}, numTraining=3)(tmp_path)
    reader = opened("nnunet", tmp_path, channels=2)
    samples = reader.samples()
    assert len(samples) == 12 and {sample.group for sample in samples} == {"c0", "c1", "c2"}
    for sample in samples:
        image, mask = reader.read(sample)
        number = int(sample.attributes["slice"])
        values, wanted = volumes[sample.group]
        assert (image == values[:, :, number].swapaxes(0, 1)[::-1]).all()
        assert (mask == wanted[:, :, number].T[::-1]).all() and sample.spacing == (2.0, 1.0)
