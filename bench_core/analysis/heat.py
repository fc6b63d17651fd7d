"""Heat maps that steps `grad-cam` left, for pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Finished
from bench_core.errors import BenchError
from bench_core.files.arrays import open_arrays
from bench_core.files.bounded import BoundError
from bench_core.metrics.map_tables import MapKind

MOST_BYTES = 64 * 1024**2
"""Of the maps in one file, uncompressed."""
LARGEST_SIDE = 1024
WORDS = {
    "ok": "",
    "constant": "one value everywhere",
    "nan": "not finite",
    "no-pixels": "no pixels of the class",
}
"""What a picture without a map says, by the map's status."""


@dataclass(frozen=True, eq=False)
class Heat:
    """One map, or why there is none."""

    sample: str
    kind: MapKind
    values: NDArray[np.uint8] | None
    """[h, w] on the layer's grid, its largest value 255; None where there is none."""
    words: str = ""


def heat_maps(done: Finished, wanted: Mapping[str, Collection[str]]) -> Iterator[Heat]:
    """Yield the maps of some images of each class, in the order of the job's table.

    Maps that the job did not keep, or that cannot be read, are passed over: pictures are not numbers.
    """
    table = done.tables.maps
    if table is None:
        return
    rows = [
        row
        for row, (sample, kind) in enumerate(zip(table.images, table.kinds, strict=True))
        if sample in wanted.get(kind.of_class, ())
    ]
    if not rows:
        return
    maps = _read(done, rows)
    for row in rows:
        (status,) = table.more[row]
        if status != "ok" or row in maps:
            yield Heat(table.images[row], table.kinds[row], maps.get(row), WORDS[status])


def _read(done: Finished, rows: Collection[int]) -> dict[int, NDArray[np.uint8]]:
    names = (f"maps-{number}.npz" for number in range(len(done.result.artifacts)))
    known = [name for name in names if f"artifacts/{name}" in done.result.artifacts]
    found: dict[int, NDArray[np.uint8]] = {}
    try:
        for row, values in read_heat([done.artifact(name) for name in known], rows):
            found[row] = values
    except (BoundError, BenchError, OSError):
        return found
    return found


def read_heat(files: Sequence[Path], rows: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield row and map [h, w] of those of `rows` that the files hold; nothing of others is read.

    Raises BoundError for a file that is damaged, and OSError where it cannot be read.
    """
    wanted = {str(row): row for row in rows}
    for file in files:
        with open_arrays(file, MOST_BYTES) as arrays:
            for name in arrays.names:
                if name not in wanted:
                    continue
                _, shape = arrays.header(name)
                if len(shape) != 2 or not all(0 < side <= LARGEST_SIDE for side in shape):
                    raise BoundError(f"map {name!r} is of shape {list(shape)}")
                yield wanted[name], arrays.read(name, np.uint8, (None, None))
