"""Slices of the MNI152 T1 template with gray and white matter, from the files that nilearn carries.

The template is the average of 152 brains at 1 mm (ICBM 2009a nonlinear symmetric, Fonov et al. 2011,
doi:10.1016/j.neuroimage.2010.07.033): real MRI, though of nobody in particular.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core import DatasetRequest
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError, MissingDependencyError
from bench_core.install import install_command

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
FILE = "mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
SPACING = (1.0, 1.0)
"""mm; the template's voxels are cubes of 1 mm (Fonov et al. 2011)."""
THIRDS = {
    "axial": ("inferior", "middle", "superior"),
    "coronal": ("posterior", "middle", "anterior"),
    "sagittal": ("lateral", "middle", "medial"),
}
"""Names of the thirds of the slices that are shown, by plane."""
LEAST_BRAIN = 0.15
"""Slices that show less brain than this part of the fullest slice are left out."""


class Mni152Reader:
    """Slices along one axis, in slabs: neighbors look alike, so a slab is a group and gaps lie between."""

    def __init__(self, files: Mapping[str, Path], options: Mapping[str, Any]) -> None:
        self._files = files
        self._plane = str(options["plane"])
        self._spacing = int(options["spacing"])
        self._slab = int(options["slab"])
        self._gap = int(options["gap"])
        self._loading = threading.Lock()
        self._volumes: dict[str, UInt8Array] = {}

    def samples(self) -> Sequence[Sample]:
        """Return the slices with enough brain, from bottom to top (or back to front, left to middle)."""
        first, last = self._range()
        names = THIRDS[self._plane]
        samples = []
        for offset in range(last - first + 1):
            slab, within = divmod(offset, self._slab + self._gap)
            if within < self._slab and within % self._spacing == 0:
                third = min(3 * offset // (last - first + 1), 2)
                samples.append(
                    Sample(
                        id=f"{self._plane}-{first + offset:03d}",
                        group=f"slab-{slab:02d}",
                        files=tuple(self._files.values()),
                        attributes={"position": names[third], "slice": first + offset},
                        spacing=SPACING,
                    )
                )
        return samples

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Return a slice [H, W, 1] and its mask by highest probability: 1 = gray matter, 2 = white."""
        number = int(sample.id.rpartition("-")[2])
        image, gray, white = (self._slice(kind, number) for kind in ("t1", "gm", "wm"))
        # Probabilities are stored as 0..255 and sum to at most 1 up to rounding.
        rest = 255 - gray.astype(np.int16) - white
        mask = np.zeros(image.shape, dtype=np.uint8)
        mask[(gray > white) & (gray > rest)] = 1
        mask[(white >= gray) & (white > rest)] = 2
        return np.ascontiguousarray(image[:, :, None]), mask

    def _slice(self, kind: str, number: int) -> UInt8Array:
        volume = np.moveaxis(self._volume(kind), AXES[self._plane], 0)
        # The first remaining axis runs to the right (or front), the second up.
        return np.ascontiguousarray(volume[number].T[::-1])

    def _range(self) -> tuple[int, int]:
        axis = AXES[self._plane]
        brain = (self._volume("gm") > 127) | (self._volume("wm") > 127)
        area = np.count_nonzero(brain, axis=tuple(other for other in range(3) if other != axis))
        shown = np.flatnonzero(area >= LEAST_BRAIN * area.max())
        first, last = int(shown[0]), int(shown[-1])
        # The template mirrors left and right exactly: the other half would leak these slices.
        return first, min(last, (len(area) - 1) // 2) if self._plane == "sagittal" else last

    def _volume(self, kind: str) -> NDArray[np.uint8]:
        with self._loading:
            if kind not in self._volumes:
                self._volumes[kind] = _load(self._files[kind])
            return self._volumes[kind]


def _load(path: Path) -> UInt8Array:
    import nibabel

    try:
        volume = np.asanyarray(nibabel.load(path).dataobj)
    except Exception as error:
        raise DataError(
            f"the template cannot be read: {error}",
            place=str(path),
            fix="pip install --force-reinstall nilearn",
        ) from error
    if volume.ndim != 3 or volume.dtype != np.uint8:
        raise DataError(f"expected a uint8 volume, found {volume.dtype} {volume.shape}", place=str(path))
    return np.asarray(volume)


def open_mni152(request: DatasetRequest) -> Mni152Reader:
    """Open the template inside the installed nilearn package; it needs no root.

    Raises MissingDependencyError without nilearn, DataError if its files are not where they should be.
    """
    # Finding the folder does not import nilearn, which would take seconds.
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError("dataset mni152 needs the package nilearn", fix=install_command("torch"))
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    files = {kind: folder / FILE.format(kind=kind) for kind in ("t1", "gm", "wm")}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise DataError(
            f"this nilearn carries no {', '.join(missing)}",
            place=str(folder),
            fix=install_command("torch"),
        )
    return Mni152Reader(files, request.options)
