"""Maps as small pictures, as steps `grad-cam` leave them: how they lie in files, and how they are read.

Each is an array uint8 [h, w], 255 being its largest value, named by the number of its row in the table `maps`
from 0. Only maps that can be used have one. A side has at most 64 cells: 4096 bytes before compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.files.arrays import open_arrays

MOST_SIDE = 64
MOST_MAPS = 4000
"""In one file."""
MOST_BYTES = MOST_MAPS * (MOST_SIDE**2 + 256)
"""Of the arrays in one file with their headers."""
Picture = NDArray[np.uint8]


def name_of(number: int) -> str:
    """Return the name of a file of maps."""
    return f"maps-{number}.npz"


def read_pictures(path: Callable[[str], Path], count: int) -> Iterator[tuple[int, Picture]]:
    """Yield `count` maps with the number of their row, in its order.

    `path` gives the place of a file by its name. Raises ValueError where files are missing, damaged, or hold
    other than so many maps.
    """
    number = held = 0
    last = -1
    while held < count:
        with open_arrays(path(name_of(number)), MOST_BYTES) as arrays:
            if not arrays.names:
                raise ValueError(f"{name_of(number)} holds no map")
            for name in arrays.names:
                row = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else -1
                if row <= last:
                    raise ValueError(
                        f"{name_of(number)} holds {name!a:.40}, which is not the next row's number"
                    )
                pixels = arrays.read(name, np.uint8, (None, None))
                if 0 in pixels.shape or max(pixels.shape) > MOST_SIDE:
                    raise ValueError(f"the map of row {row} is of shape {pixels.shape}")
                yield row, pixels
                last = row
            held, number = held + len(arrays.names), number + 1
    if held > count:
        raise ValueError(f"there are {held} maps, and {count} rows have one")
