"""NIfTI images and masks are laid over each other by where they lie, not by the order of their voxels."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bench_core.errors import DataError
from tests.helpers.folders import read_one
from tests.helpers.pictures import blob, open_folder

IMAGE = np.random.default_rng(1).integers(0, 256, (24, 20), dtype=np.uint8)
MASK = blob(3).T
"""Both [first axis, second axis]."""
AFFINE = np.array([[0.5, 0, 0, -7], [0, 0.8, 0, 11], [0, 0, 3, 5], [0, 0, 0, 1.0]])
OPTIONS = {"channels": 1, "classes": {"lesion": 255}}


def save(path: Path, values: np.ndarray, affine: np.ndarray | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, affine).to_filename(path)


def turned(
    values: np.ndarray, affine: np.ndarray, flips: tuple[bool, bool], exchanged: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the same picture at the same place, its voxels stored in another order."""
    change = np.eye(4)
    for axis, flip in enumerate(flips):
        if flip:
            change[axis, axis], change[axis, 3] = -1, values.shape[axis] - 1
            values = np.flip(values, axis)
    if exchanged:
        change = change @ np.eye(4)[[1, 0, 2, 3]]
        values = values.T
    return values, affine @ change


@pytest.mark.parametrize(("first", "second", "exchanged"), list(product([False, True], repeat=3)))
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_masks_stored_in_another_order_are_turned(
    tmp_path: Path, suffix: str, first: bool, second: bool, exchanged: bool
) -> None:
    save(tmp_path / f"images/a{suffix}", IMAGE, AFFINE)
    save(tmp_path / f"masks/a{suffix}", *turned(MASK, AFFINE, (first, second), exchanged))
    image, mask = read_one(tmp_path, **OPTIONS)
    assert (image[:, :, 0] == IMAGE.T).all() and (mask == (MASK.T > 0)).all()


def test_oblique_slices_are_compared_as_well(tmp_path: Path) -> None:
    angle = 0.3
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    save(tmp_path / "images/a.nii", IMAGE, turn @ AFFINE)
    save(tmp_path / "masks/a.nii", *turned(MASK, turn @ AFFINE, (True, False), True))
    assert (read_one(tmp_path, **OPTIONS)[1] == (MASK.T > 0)).all()
    save(tmp_path / "masks/a.nii", MASK, AFFINE)
    with pytest.raises(DataError, match="the mask lies elsewhere than its image"):
        read_one(tmp_path, **OPTIONS)


MOVED = {
    "origin": [(0, 3, 4.0)],
    "half a pixel": [(1, 3, 0.4)],
    "spacing": [(0, 0, 0.2)],
    "another slice": [(2, 3, 3.0)],
}


@pytest.mark.parametrize("changes", MOVED.values(), ids=MOVED)
def test_masks_of_another_place_are_refused(tmp_path: Path, changes: list[tuple[int, int, float]]) -> None:
    affine = AFFINE.copy()
    for row, column, by in changes:
        affine[row, column] += by
    save(tmp_path / "images/a.nii", IMAGE, AFFINE)
    save(tmp_path / "masks/a.nii", MASK, affine)
    with pytest.raises(DataError, match=r"lies elsewhere than its image a.nii: 24 x 20 pixels") as caught:
        read_one(tmp_path, **OPTIONS)
    assert caught.value.place == str(tmp_path / "masks/a.nii")
    assert "resample" in str(caught.value.fix)


def test_grids_of_other_sizes_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "images/a.nii", IMAGE, AFFINE)
    save(tmp_path / "masks/a.nii", MASK[:20], AFFINE)
    with pytest.raises(DataError, match=r"20 x 20 pixels.*the image 24 x 20 pixels"):
        read_one(tmp_path, **OPTIONS)


def test_images_that_do_not_lie_the_same_way_are_told(tmp_path: Path) -> None:
    for name, flips in (("a", (False, False)), ("b", (True, False)), ("c", (False, False))):
        for kind, values in (("images", IMAGE), ("masks", MASK)):
            save(tmp_path / f"{kind}/{name}.nii", *turned(values, AFFINE, flips, False))
    (remark,) = open_folder(tmp_path, **OPTIONS).remarks()
    assert remark.endswith("taken so: 2 RA (such as a), 1 LA (such as b)")
    (tmp_path / "images/b.nii").unlink()
    (tmp_path / "masks/b.nii").unlink()
    assert open_folder(tmp_path, **OPTIONS).remarks() == []


def test_files_that_do_not_say_where_they_lie_are_taken_as_they_are(tmp_path: Path) -> None:
    save(tmp_path / "images/a.nii", IMAGE, AFFINE)
    save(tmp_path / "masks/a.nii", MASK, None)
    assert (read_one(tmp_path, **OPTIONS)[1] == (MASK.T > 0)).all()


def test_an_affine_that_says_nothing_is_named(tmp_path: Path) -> None:
    for kind, values in (("images", IMAGE), ("masks", MASK)):
        made = nibabel.Nifti1Image(values, AFFINE)
        made.header.set_sform(np.diag([1, 0, 1, 1]), 1)
        made._affine = np.diag([1, 0, 1, 1.0])
        made.header.set_qform(None, 0)
        (tmp_path / kind).mkdir()
        header = made.header
        header["sform_code"], header["qform_code"] = 1, 0
        header["srow_x"], header["srow_y"], header["srow_z"] = [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]
        header["magic"], header["vox_offset"] = b"n+1", 352
        (tmp_path / kind / "a.nii").write_bytes(header.binaryblock + bytes(4) + values.tobytes(order="F"))
    with pytest.raises(DataError, match="its affine is singular"):
        read_one(tmp_path, **OPTIONS)
