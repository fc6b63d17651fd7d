"""Volumes and stacks among own files are cut into slices that stay together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from bench_core.errors import DataError
from tests.helpers.folders import problems_of
from tests.helpers.pictures import blob, cache_folder, open_folder, picture

VOXELS = np.random.default_rng(4).integers(0, 4096, (24, 20, 5), dtype=np.uint16)
"""To the right, front and top."""
LABELS = np.zeros((24, 20, 5), np.uint8)
LABELS[5:12, 4:9, 1:4] = 255
SPACING = np.diag([0.5, 0.8, 3.0, 1.0])
OPTIONS = {"slices": "acquired", "channels": 1, "intensity": [0, 4095]}


def volumes(root: Path, turn: np.ndarray | None = None) -> Path:
    for name in ("p1", "p2"):
        for kind, values in (("images", VOXELS), ("masks", LABELS)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            affine = SPACING
            if kind == "masks" and turn is not None:
                values, affine = values[::-1], SPACING @ turn
            nibabel.Nifti1Image(values, affine).to_filename(root / f"{kind}/{name}.nii.gz")
    return root


def upright(plane: np.ndarray) -> np.ndarray:
    """The oracle: [across, down] of a slice to [H, W] with the front up."""
    return plane.T[::-1]


def stacks(root: Path, pages: np.ndarray, masks: np.ndarray, **given: Any) -> Path:
    for kind, values in (("images", pages), ("masks", masks)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        with tifffile.TiffWriter(root / f"{kind}/s.tif") as file:
            for page in values:
                file.write(page, contiguous=False, **(given if kind == "images" else {}))
    return root


def test_volumes_are_cut_into_slices_of_one_group(tmp_path: Path) -> None:
    reader = open_folder(volumes(tmp_path), **OPTIONS)
    samples = reader.samples()
    assert [sample.id for sample in samples] == [
        f"{name}-00{number}" for name in ("p1", "p2") for number in range(5)
    ]
    assert {sample.group for sample in samples} == {"p1", "p2"}
    assert all(sample.spacing == pytest.approx((0.8, 0.5)) for sample in samples)
    assert [sample.attributes["slice"] for sample in samples[:5]] == [0, 1, 2, 3, 4]
    for number, sample in enumerate(samples[:5]):
        image, mask = reader.read(sample)
        wanted = np.clip(np.floor(VOXELS[:, :, number] * (255 / 4095) + 0.5), 0, 255)
        assert (image[:, :, 0] == upright(wanted)).all()
        assert (mask == (upright(LABELS[:, :, number]) > 0)).all()


def test_labels_whose_axes_run_the_other_way_are_turned(tmp_path: Path) -> None:
    turn = np.eye(4)
    turn[0, 0], turn[0, 3] = -1, 23
    reader = open_folder(volumes(tmp_path, turn), **OPTIONS)
    assert (reader.read(reader.samples()[2])[1] == (upright(LABELS[:, :, 2]) > 0)).all()


def test_planes_and_slices_without_foreground(tmp_path: Path) -> None:
    root = volumes(tmp_path)
    assert len(open_folder(root, **{**OPTIONS, "slices": "coronal"}).samples()) == 40
    reader = open_folder(root, **OPTIONS, empty_slices="drop", group_pattern="p(.)")
    assert [sample.id for sample in reader.samples()][:3] == ["p1-001", "p1-002", "p1-003"]
    assert {sample.group for sample in reader.samples()} == {"1", "2"}
    assert "left out: 4 slices without foreground" in reader.remarks()


def test_volumes_go_into_the_cache_and_their_own_range_is_of_the_volume(tmp_path: Path) -> None:
    arrays = cache_folder(volumes(tmp_path / "data"), tmp_path / "cache", **OPTIONS)
    assert arrays.images.shape == (10, 16, 16, 1)
    reader = open_folder(tmp_path / "data", **{**OPTIONS, "intensity": "image"})
    low, high = np.percentile(VOXELS, [0.5, 99.5])
    wanted = np.clip(np.floor((VOXELS[:, :, 2] - low) * (255 / (high - low)) + 0.5), 0, 255)
    assert (reader.read(reader.samples()[2])[0][:, :, 0] == upright(wanted)).all()


def test_without_the_option_volumes_are_refused_and_the_option_is_named(tmp_path: Path) -> None:
    reader = open_folder(volumes(tmp_path / "nifti"), channels=1)
    with pytest.raises(DataError, match="volume of 24 x 20 x 5") as caught:
        reader.read(reader.samples()[0])
    assert "slices: acquired" in str(caught.value.fix)
    reader = open_folder(stacks(tmp_path / "tiff", np.moveaxis(VOXELS, 2, 0), np.moveaxis(LABELS, 2, 0)))
    with pytest.raises(DataError, match="holds 5 frames") as caught:
        reader.read(reader.samples()[0])
    assert "slices: acquired" in str(caught.value.fix)


@pytest.mark.parametrize("given", [{}, {"compression": "zlib"}, {"photometric": "miniswhite"}])
def test_pages_of_a_tiff_are_slices(tmp_path: Path, given: dict[str, Any]) -> None:
    pages, masks = np.moveaxis(VOXELS, 2, 0), np.moveaxis(LABELS, 2, 0)
    reader = open_folder(stacks(tmp_path, pages, masks, **given), **{**OPTIONS, "intensity": "dtype"})
    samples = reader.samples()
    assert [sample.id for sample in samples] == [f"s-00{number}" for number in range(5)]
    assert {sample.group for sample in samples} == {"s"}
    for number, sample in enumerate(samples):
        image, mask = reader.read(sample)
        values = 65535 - pages[number] if "photometric" in given else pages[number]
        assert (image[:, :, 0] == np.floor(values * (255 / 65535) + 0.5)).all()
        assert (mask == (masks[number] > 0)).all()


def test_color_pages_and_single_pictures_beside_stacks(tmp_path: Path) -> None:
    colors = np.stack([picture(number) for number in range(3)])
    root = stacks(tmp_path, colors, np.stack([blob(number) for number in range(3)]), photometric="rgb")
    Image.fromarray(picture(9)).save(root / "images/one.png")
    Image.fromarray(blob(9)).save(root / "masks/one.png")
    reader = open_folder(root, slices="acquired")
    assert [sample.id for sample in reader.samples()] == ["one", "s-000", "s-001", "s-002"]
    assert (reader.read(reader.samples()[2])[0] == picture(1)).all()
    assert (reader.read(reader.samples()[0])[0] == picture(9)).all()


def test_stacks_that_do_not_fit_are_all_named(tmp_path: Path) -> None:
    root = stacks(tmp_path, np.moveaxis(VOXELS, 2, 0), np.moveaxis(LABELS, 2, 0)[:3])
    volumes(root)
    nibabel.Nifti1Image(LABELS[:, :, :4], SPACING).to_filename(root / "masks/p1.nii.gz")
    nibabel.Nifti1Image(LABELS, SPACING + np.diag([0, 0, 0.5, 0])).to_filename(root / "masks/p2.nii.gz")
    message = problems_of(root, **OPTIONS)
    assert "masks/s.tif: has 3 slices, its image s.tif 5" in message
    assert "masks/p1.nii.gz: is 24 x 20 x 4 voxels" in message
    assert "masks/p2.nii.gz: lies up to 2 mm beside its image" in message


def test_an_imagej_stack_with_one_page_is_not_taken_for_one_picture(tmp_path: Path) -> None:
    pages = np.moveaxis(VOXELS, 2, 0)
    root = stacks(tmp_path, pages[:1], np.moveaxis(LABELS, 2, 0)[:1])
    tifffile.imwrite(root / "images/s.tif", pages[0], imagej=True)
    content = (root / "images/s.tif").read_bytes()
    (root / "images/s.tif").write_bytes(content.replace(b"images=1\n", b"images=9\n"))
    assert b"images=9" in (root / "images/s.tif").read_bytes()
    reader = open_folder(root, channels=1)
    with pytest.raises(DataError, match="holds 9 frames of ImageJ and lists one"):
        reader.read(reader.samples()[0])
