"""NeoPolyp's mask colors: JPEG moves them, so each pixel takes the nearest of black, red and green.

In the published masks at most 0.9 % of the pixels have a channel between 30 and 225, blue reaches 128, and at
most 16 pixels are both red and green; a mask beyond this is not one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.readers.pictures import rgb
from bench_datasets.readers.stored import REPLACE, Stored

UNSURE = 64
"""Distance in RGB from the nearest color from which on a pixel is called undecidable: half way is 128."""
SURE = 36
"""Distance in each channel that is below UNSURE in RGB."""
STRANGE = 160
"""Distance that JPEG does not explain, but for single pixels where red meets green."""
MOST_UNSURE = 0.03
MOST_STRANGE = 1e-4
"""These parts of a mask's pixels, and FEW_PIXELS more, may be undecidable or strange."""
FEW_PIXELS = 64
_REMEMBERED: dict[tuple[Path, int, int], Doubt] = {}
"""By path, time and size: a run reads each mask for its cache and is asked about it afterwards."""


@dataclass(frozen=True)
class Doubt:
    """How many of a mask's pixels are undecidable."""

    unsure: int
    pixels: int

    @property
    def share(self) -> float:
        """Of all pixels, 0 to 1."""
        return self.unsure / self.pixels


def classify(mask: Stored) -> UInt8Array:
    """Return [H, W]: 0 = background (black), 1 = non-neoplastic (green), 2 = neoplastic (red).

    Raises DataError for a file that cannot be decoded or whose colors are others.
    """
    pixels = rgb(mask).array
    red, green, blue = (np.ascontiguousarray(pixels[:, :, number]) for number in range(3))
    toward = np.maximum(red, green)
    # Blue is as far from all three, and red and green move from black alone: halves decide.
    labels = (toward > 127).astype(np.uint8)
    labels[(labels == 1) & (red >= green)] = 2
    # Almost all pixels are within SURE of a color in each channel, and so nearer to it than UNSURE.
    sure = (blue <= SURE) & (np.minimum(red, green) <= SURE) & ((toward <= SURE) | (toward >= 255 - SURE))
    rows, columns = np.nonzero(~sure)
    rest = pixels[rows, columns].astype(np.int32)
    black = (rest * rest).sum(axis=1)
    nearest = np.minimum(black, black + 255 * 255 - 510 * np.maximum(rest[:, 0], rest[:, 1]))
    doubt = Doubt(int(np.count_nonzero(nearest > UNSURE * UNSURE)), red.size)
    strange = nearest > STRANGE * STRANGE
    count = int(np.count_nonzero(strange))
    if count > FEW_PIXELS + MOST_STRANGE * red.size:
        raise _unexpected(mask, rest[strange], red.size)
    if doubt.unsure > FEW_PIXELS + MOST_UNSURE * red.size:
        raise _unexpected(mask, rest[nearest > UNSURE * UNSURE], red.size)
    _REMEMBERED[_key(mask)] = doubt
    return labels


def measured(mask: Stored) -> Doubt:
    """Return a mask's doubt, decoding it unless this process has done so; raises DataError as `classify`."""
    key = _key(mask)
    if key not in _REMEMBERED:
        classify(mask)
    return _REMEMBERED[key]


def _key(mask: Stored) -> tuple[Path, int, int]:
    try:
        status = mask.path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=mask.place, fix=REPLACE) from error
    return mask.path, status.st_mtime_ns, status.st_size


def _unexpected(mask: Stored, found: NDArray[np.int32], pixels: int) -> DataError:
    colors, counts = np.unique(found, axis=0, return_counts=True)
    example = ", ".join(map(str, colors[np.argmax(counts)].tolist()))
    return DataError(
        f"its colors are not those of a mask: {len(found):,} of {pixels:,} pixels are far from black, red "
        f"and green, most often ({example})",
        place=mask.place,
        fix=REPLACE,
    )
