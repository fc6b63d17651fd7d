"""Two-dimensional NIfTI, and whether an image and its mask lie on the same grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import DataError
from bench_datasets.decoding.pixels import REPLACE, Pixels, check_size

CLOSE = 0.01
"""Pixels by which two grids may differ and are still the same: headers hold 32-bit numbers."""


def is_nifti(path: Path) -> bool:
    """Return whether the name is that of a NIfTI file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def decode_nifti(path: Path) -> Pixels:
    """Return the one slice of a file; NIfTI's first axis runs along a row of the picture."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
    except ImageFileError as error:
        raise DataError("is not a NIfTI file", place=str(path), fix=REPLACE) from error
    shape = tuple(image.shape)
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise DataError(
            f"is a volume of {' x '.join(map(str, shape))}, expected one 2D image",
            place=str(path),
            fix="cut it with the option `slices: acquired`, or store each slice as a file",
        )
    check_size(path, shape[0], shape[1])
    values = np.asanyarray(image.dataobj).reshape(shape[:2])
    if values.dtype.kind not in "uif":
        raise DataError(f"holds {values.dtype} values", place=str(path), fix="store numbers")
    return Pixels(np.ascontiguousarray(values.T))


def on_grid_of(mask: NDArray[Any], mask_path: Path, image_path: Path) -> NDArray[Any]:
    """Return a mask [H, W] in the order of its image's pixels, where both files say where they lie.

    A mask whose axes run the other way, or are exchanged, is turned. Raises DataError where the two cover
    different places, or are of different spacing, so that no turning brings them together.
    """
    import nibabel

    if not (is_nifti(mask_path) and is_nifti(image_path)):
        return mask
    own, other = nibabel.load(mask_path), nibabel.load(image_path)
    if not (_placed(own) and _placed(other)):
        return mask
    try:
        # From a mask's pixel (first axis, second axis, slice, 1) to the image's.
        step = np.linalg.inv(other.affine) @ own.affine
    except np.linalg.LinAlgError as error:
        raise DataError("its affine is singular", place=str(image_path), fix="correct its header") from error
    plane = step[:2, :2]
    turns = np.rint(plane)
    size = np.array(own.shape[:2])
    far = np.abs(plane - turns) @ size
    if (np.abs(turns).sum(axis=0) != 1).any() or (np.abs(turns).sum(axis=1) != 1).any() or far.max() > CLOSE:
        raise _elsewhere(mask_path, image_path, own, other)
    corner = step[:2, 3]
    # Where an axis runs backwards, the mask's first pixel is the image's last.
    wanted = np.where(turns.sum(axis=1) < 0, np.array(other.shape[:2]) - 1, 0)
    if np.abs(corner - wanted).max() > CLOSE or not (np.abs(turns) @ size == other.shape[:2]).all():
        raise _elsewhere(mask_path, image_path, own, other)
    if np.abs(step[2, :2] @ (size - 1)) > 0.5 or abs(step[2, 3]) > 0.5:
        raise _elsewhere(mask_path, image_path, own, other)
    grid = mask.T
    if turns[0, 0] == 0:
        grid = grid.T
    for axis in (0, 1):
        if wanted[axis]:
            grid = np.flip(grid, axis)
    return np.ascontiguousarray(grid.T)


def axes_of(path: Path) -> str:
    """Return where a picture's axes point, such as RA (right, anterior); empty where nothing says so."""
    import nibabel

    try:
        image: Any = nibabel.load(path)
        if not _placed(image):
            return ""
        return "".join(code or "?" for code in nibabel.aff2axcodes(image.affine)[:2])
    except Exception:  # A damaged file is told of where it is decoded.
        return ""


def _placed(image: Any) -> bool:
    header = image.header
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def _elsewhere(mask_path: Path, image_path: Path, own: Any, other: Any) -> DataError:
    def said(image: Any) -> str:
        sides = np.linalg.norm(image.affine[:3, :2], axis=0)
        origin = ", ".join(f"{value:g}" for value in np.round(image.affine[:3, 3], 3))
        size = f"{image.shape[0]} x {image.shape[1]}"
        return f"{size} pixels of {sides[0]:.4g} x {sides[1]:.4g} mm from ({origin})"

    return DataError(
        f"the mask lies elsewhere than its image {image_path.name}: {said(own)}, the image {said(other)}",
        place=str(mask_path),
        cause="the affines of the two headers do not describe the same grid",
        fix="resample the mask onto its image, or copy the image's header if the pixels do fit",
    )
