"""Whether a map stays what it is when the image moves by a few pixels.

A network that looks at structures marks them wherever they lie; a map that is decided by the grid of a coarse
layer, or by noise, does not move along. After Alvarez-Melis and Jaakkola, "On the Robustness of
Interpretability Methods", 2018, with shifts in place of noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import IGNORE
from bench_steps.grad_cam.numbers import correlation, is_silent

Map = NDArray[np.float32]
Labels = NDArray[np.uint8]
Number = TypeVar("Number", np.float32, np.float64, np.uint8)
Shift = tuple[int, int]
"""Down and right, in pixels."""
_DIRECTIONS: tuple[Shift, ...] = ((0, 1), (1, 0), (0, -1), (-1, 0))


def shifts(count: int, distance: int) -> tuple[Shift, ...]:
    """Return up to four shifts by `distance` pixels: right, down, left, up."""
    return tuple((down * distance, right * distance) for down, right in _DIRECTIONS[:count])


def under_shifts(
    image: Map,
    labels: Labels,
    found: Map,
    map_of: Callable[[Map, Labels], Map],
    moves: Sequence[Shift],
) -> dict[str, float]:
    """Return how like its map [S, S] the maps of a moved image are, when they are moved back.

    `map_of` makes the map of an image [C, S, S] with its label map [S, S]; both are moved together, border
    pixels of the image repeat, and labels that come in are ignored ones. `shift` is the mean Pearson
    correlation over the pixels that every move leaves in view, `shift_least` the smallest; `shift_silent`
    is the share of moves after which the map is constant or not finite, which the others leave out. They are
    NaN where the map itself is, or no move leaves a map.
    """
    undefined = {"shift": float("nan"), "shift_least": float("nan"), "shift_silent": float("nan")}
    if is_silent(found) or not moves:
        return undefined
    margin = max(max(abs(down), abs(right)) for down, right in moves)
    # Twice: once for what comes in with the move, once for what comes in with the way back.
    view = slice(margin, found.shape[0] - margin), slice(margin, found.shape[1] - margin)
    alike = []
    for down, right in moves:
        other = map_of(moved(image, (down, right)), moved(labels, (down, right), fill=IGNORE))
        if not is_silent(other):
            alike.append(correlation(found[view], moved(other, (-down, -right))[view]))
    known = [value for value in alike if not np.isnan(value)]
    silent = 1 - len(alike) / len(moves)
    if not known:
        return {**undefined, "shift_silent": silent}
    return {"shift": float(np.mean(known)), "shift_least": float(min(known)), "shift_silent": silent}


def moved(array: NDArray[Number], shift: Shift, fill: int | None = None) -> NDArray[Number]:
    """Return an array [..., H, W] moved by pixels; what comes in repeats the border, or is `fill`."""
    down, right = shift
    height, width = array.shape[-2:]
    rows, columns = np.arange(height) - down, np.arange(width) - right
    found = array[..., np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)]
    if fill is not None:
        found[..., (rows < 0) | (rows >= height), :] = fill
        found[..., (columns < 0) | (columns >= width)] = fill
    return found
