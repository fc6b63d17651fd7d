"""Folders that other tools' own libraries write and read, where these are installed.

    pip install --no-deps --target TOOLS nnunetv2 batchgenerators acvl_utils SimpleITK medsegbench \\
        scikit-image imageio lazy_loader networkx
    PYTHONPATH=TOOLS python -m pytest -m slow tests/data/test_other_tools.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.layouts import labels, opened, write_medsegbench
from tests.helpers.pictures import picture

pytestmark = pytest.mark.slow


def test_nnunets_own_json_and_labels_of_pictures_are_read_as_it_reads_them(tmp_path: Path) -> None:
    generate = pytest.importorskip("nnunetv2.dataset_conversion.generate_dataset_json").generate_dataset_json
    tool = pytest.importorskip("nnunetv2.imageio.natural_image_reader_writer").NaturalImage2DIO()
    folder = tmp_path / "Dataset777_Own"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        Image.fromarray(picture(number)).save(folder / f"imagesTr/case{number}_0000.png")
        tool.write_seg(labels(number, (20, 24))[None], str(folder / f"labelsTr/case{number}.png"), {})
    named: dict[str, Any] = {"background": 0, "eye": (1, 2), "disc": (2,), "ignore": 3}
    generate(
        str(folder), {0: "R", 1: "G", 2: "B"}, named, 4, ".png",
        regions_class_order=(1, 2), overwrite_image_reader_writer="NaturalImage2DIO",
    )  # fmt: skip
    reader = opened("nnunet", tmp_path, classes={"rim": 1, "disc": 2}, ignore=3)
    samples = reader.samples()
    assert len(samples) == 4
    for sample in samples:
        image, mask = reader.read(sample)
        theirs, _ = tool.read_images([str(sample.files[0])])
        wanted, _ = tool.read_seg(str(sample.files[1]))
        assert (image == theirs[:, 0].transpose(1, 2, 0)).all() and (mask == wanted[0, 0]).all()


def test_volumes_are_cut_into_the_slices_that_nnunet_sees(tmp_path: Path) -> None:
    generate = pytest.importorskip("nnunetv2.dataset_conversion.generate_dataset_json").generate_dataset_json
    tool = pytest.importorskip("nnunetv2.imageio.simpleitk_reader_writer").SimpleITKIO()
    itk = pytest.importorskip("SimpleITK")
    folder = tmp_path / "Dataset778_Volumes"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (5, 8, 9)).astype(np.uint8)
        image = itk.GetImageFromArray(values)
        image.SetSpacing((0.5, 0.75, 4.0))
        itk.WriteImage(image, str(folder / f"imagesTr/v{number}_0000.nii.gz"))
        _, properties = tool.read_images([str(folder / f"imagesTr/v{number}_0000.nii.gz")])
        tool.write_seg(labels(number, (5, 8, 9)), str(folder / f"labelsTr/v{number}.nii.gz"), properties)
    generate(str(folder), {0: "CT"}, {"background": 0, "liver": 1, "tumor": 2}, 3, ".nii.gz")
    reader = opened("nnunet", tmp_path, classes={"liver": 1, "tumor": 2}, channels=1)
    samples = reader.samples()
    assert len(samples) == 15
    for sample in samples:
        image, mask = reader.read(sample)
        number = int(sample.attributes["slice"])
        theirs, _ = tool.read_images([str(sample.files[0])])
        wanted, _ = tool.read_seg(str(sample.files[1]))
        # ITK's first axis runs to the patient's left, ours to the right.
        assert (image[:, :, 0] == theirs[0, number][:, ::-1]).all()
        assert (mask == wanted[0, number][:, ::-1]).all() and sample.spacing == (0.75, 0.5)


def test_medsegbenchs_own_reader_sees_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Importing it makes a folder in the home folder.
    monkeypatch.setenv("HOME", str(tmp_path))
    tool = pytest.importorskip("medsegbench").KvasirMSBench
    write_medsegbench(tmp_path / "data")
    reader = opened("medsegbench", tmp_path / "data")
    parts = {part: tool(part, root=str(tmp_path / "data"), size=32) for part in ("train", "val", "test")}
    for sample in reader.samples():
        part, _, number = sample.id.partition("-")
        theirs, target = parts[part][int(number)]
        image, mask = reader.read(sample)
        assert (np.array(theirs) == image).all() and (target == mask * 255).all()
