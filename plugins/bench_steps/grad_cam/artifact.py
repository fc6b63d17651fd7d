"""Maps as small pictures, written in the form of bench_core.metrics.map_pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from bench_core.metrics.map_pictures import MOST_MAPS, MOST_SIDE, Picture, name_of


def picture_of(cells: NDArray[np.float32]) -> Picture:
    """Return a usable map [h, w] >= 0 in whole bytes; a large one is the mean over its cells on 64 x 64."""
    if max(cells.shape) > MOST_SIDE:
        sides = tuple(min(side, MOST_SIDE) for side in cells.shape)
        maps = torch.from_numpy(np.ascontiguousarray(cells))[None]
        cells = adaptive_avg_pool2d(maps, cast(Any, sides))[0].numpy()
    return np.asarray(np.rint(255 * (cells / cells.max())), dtype=np.uint8)


class PictureWriter:
    """Writes maps one by one, a bounded number to a file."""

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        self._held = self._files = 0

    def add(self, row: int, picture: Picture) -> None:
        """Append the map of a row of the table; rows come in order."""
        if self._archive is None or self._held == MOST_MAPS:
            self.close()
            self._archive = zipfile.ZipFile(self._path(name_of(self._files)), "w", zipfile.ZIP_DEFLATED)
            self._held, self._files = 0, self._files + 1
        # A fixed time: equal maps make equal files.
        member = zipfile.ZipInfo(f"{row}.npy")
        member.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(member, "w") as file:
            np.lib.format.write_array(cast(Any, file), np.ascontiguousarray(picture), allow_pickle=False)
        self._held += 1

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._archive is not None:
            self._archive.close()
