"""Label maps of several sizes in files of bounded size: written and read one by one, in the split's order."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench_core.files.arrays import open_arrays

MOST_BYTES = 512 * 1024**2
"""Of the maps in one file, uncompressed; a single map may be larger."""
MOST_MAPS = 1000
LARGEST_MAP = 2 * 1024**3


class MapWriter:
    """Writes label maps as `labels-0.npz` and so on; the arrays' names are their places in the split."""

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        self._maps = self._bytes = self._files = self._count = 0

    def add(self, labels: NDArray[np.uint8]) -> None:
        """Append the label map of the next image."""
        full = self._maps == MOST_MAPS or (self._maps and self._bytes + labels.nbytes > MOST_BYTES)
        if self._archive is None or full:
            self.close()
            self._archive = zipfile.ZipFile(self._path(name_of(self._files)), "w", zipfile.ZIP_DEFLATED)
            self._maps, self._bytes, self._files = 0, 0, self._files + 1
        # A fixed time: equal label maps make equal files.
        member = zipfile.ZipInfo(f"{self._count}.npy")
        member.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(member, "w", force_zip64=True) as file:
            np.lib.format.write_array(cast(Any, file), np.ascontiguousarray(labels), allow_pickle=False)
        self._maps, self._bytes, self._count = self._maps + 1, self._bytes + labels.nbytes, self._count + 1

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._archive is not None:
            self._archive.close()


def name_of(number: int) -> str:
    """Return the name of a file of label maps."""
    return f"labels-{number}.npz"


def read_maps(path: Callable[[str], Path], images: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the label maps of all images; raises ValueError where they are missing or damaged."""
    place = number = 0
    while place < images:
        with open_arrays(path(name_of(number)), MOST_BYTES + LARGEST_MAP) as arrays:
            held = [str(place + index) for index in range(len(arrays.names))]
            if set(held) != set(arrays.names) or place + len(held) > images:
                raise ValueError(f"{name_of(number)} does not hold the label maps from image {place} on")
            for name in held:
                yield arrays.read(name, np.uint8, (None, None))
        place, number = place + len(held), number + 1
