"""Drawing with exact arithmetic: only operations that IEEE 754 rounds alike on every machine.

Sines, exponentials, pairwise sums and matrix products differ in their last bits between processors and
libraries, so pictures are made of +, -, *, /, square roots, comparisons, running sums and lookups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.seeds import derive_seed

Field = NDArray[np.float64]
"""[H, W] values, usually in [0, 1]."""
Color = tuple[float, float, float]


class Dice:
    """Random numbers from the raw bits of PCG64: numpy guarantees these, but not its distributions."""

    def __init__(self, *parts: int | str) -> None:
        self._bits = np.random.PCG64(derive_seed(*parts))

    def field(self, *shape: int) -> Field:
        """Return uniform values in [0, 1)."""
        count = 1
        for side in shape:
            count *= side
        raw = self._bits.random_raw(count) >> np.uint64(11)
        return (raw.astype(np.float64) / 2.0**53).reshape(shape)

    def between(self, low: float, high: float) -> float:
        """Return one uniform value in [low, high)."""
        return low + (high - low) * float(self.field(1)[0])

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return float(self.field(1)[0]) < probability

    def below(self, count: int) -> int:
        """Return a uniform integer in [0, count)."""
        return min(int(self.field(1)[0] * count), count - 1)


@dataclass(frozen=True)
class Canvas:
    """Pixel coordinates of an image: x to the right and y down, in units of the longer side, centered."""

    height: int
    width: int

    @property
    def x(self) -> Field:
        """[H, W], from -0.5 to 0.5 along the longer side."""
        column = (np.arange(self.width, dtype=np.float64) + 0.5 - self.width / 2) / max(
            self.height, self.width
        )
        return np.broadcast_to(column, (self.height, self.width))

    @property
    def y(self) -> Field:
        """[H, W], from -0.5 to 0.5 along the longer side."""
        row = (np.arange(self.height, dtype=np.float64) + 0.5 - self.height / 2) / max(
            self.height, self.width
        )
        return np.broadcast_to(row[:, None], (self.height, self.width))

    def noise(self, dice: Dice, cells: float, octaves: int = 1) -> Field:
        """Return smooth value noise in [0, 1] with `cells` bumps along the longer side."""
        total = np.zeros((self.height, self.width))
        x, y = self.x[:1], self.y[:, :1]
        weight, weights = 1.0, 0.0
        for _ in range(octaves):
            # Turned, so that no octave shows the grid it comes from; 0.71 reaches the corners at any angle.
            slope = dice.between(-1, 1)
            norm = (1 + slope * slope) ** 0.5
            u, v = x + slope * y, y - slope * x
            for turned in (u, v):
                turned /= norm
                turned += 0.71
                turned *= cells
            side = int(1.42 * cells) + 3
            found = lookup(dice.field(side, side), v, u)
            found *= weight
            total += found
            weights += weight
            weight, cells = weight / 2, cells * 2
        return total / weights

    def warp(self, dice: Dice, cells: float, strength: float) -> tuple[Field, Field]:
        """Return the coordinates x and y, displaced smoothly by up to `strength` / 2."""
        dx = self.noise(dice, cells, 2) - 0.5
        dy = self.noise(dice, cells, 2) - 0.5
        return self.x + strength * dx, self.y + strength * dy


def lookup(grid: Field, rows: Field, columns: Field) -> Field:
    """Interpolate a grid at fractional positions, with smooth steps between its points."""
    rows = np.clip(rows, 0, grid.shape[0] - 1.001)
    columns = np.clip(columns, 0, grid.shape[1] - 1.001)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    v, u = _smooth(rows - top), _smooth(columns - left)
    # One flat index for all four corners: numpy takes these in a fraction of the time.
    top *= grid.shape[1]
    top += left
    flat = grid.reshape(-1)
    upper, lower = (_between(flat[start:], top, u) for start in (0, grid.shape[1]))
    lower *= v
    np.subtract(1, v, out=v)
    upper *= v
    upper += lower
    return upper


def _between(flat: Field, index: NDArray[np.int64], share: Field) -> Field:
    """Return what lies at a share of the way from each place to the next."""
    here, there = flat.take(index), flat[1:].take(index)
    here *= 1 - share
    there *= share
    here += there
    return here


def step(low: float, high: float, value: Field) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high` (high may lie below low)."""
    t = value - low
    t /= high - low
    return _smooth(np.clip(t, 0, 1))


def _smooth(t: Field) -> Field:
    risen: Field = t * t
    t = 2 * t
    risen *= 3 - t
    return risen


def ellipse(
    x: Field, y: Field, center: tuple[float, float], radii: tuple[float, float], tilt: float
) -> Field:
    """Return the distance from the center in units of the ellipse: 1 on its border.

    `tilt` is a direction as a slope in [-1, 1], which needs no sine.
    """
    norm = (1 + tilt * tilt) ** 0.5
    along, across = 1 / norm, tilt / norm
    dx, dy = x - center[0], y - center[1]
    u = (dx * along + dy * across) / radii[0]
    v = (dy * along - dx * across) / radii[1]
    distance: Field = np.sqrt(u * u + v * v)
    return distance


def blur(field: Field, radius: float) -> Field:
    """Blur by three box filters, close to a Gaussian of this standard deviation in pixels."""
    reach = round(radius)
    if reach < 1:
        return field
    for axis in (0, 1, 0, 1, 0, 1):
        field = _box(field, reach, axis)
    return field


def _box(field: Field, reach: int, axis: int) -> Field:
    moved = np.ascontiguousarray(np.moveaxis(field, axis, 0))
    length, width = moved.shape[0], 2 * reach + 1
    sums = np.empty((length + width, *moved.shape[1:]))
    sums[0], sums[1] = 0, moved[0]
    # Running sums of rows beyond both borders, too; np.cumsum goes along columns, which are far apart.
    for row in range(1, length + 2 * reach):
        np.add(sums[row], moved[min(max(row - reach, 0), length - 1)], out=sums[row + 1])
    boxes = sums[width:] - sums[:length]
    boxes /= width
    return np.moveaxis(boxes, 0, axis)


def mix(under: Field, over: Field | tuple[float, ...] | float, amount: Field) -> Field:
    """Lay a color or picture over a picture [H, W, C] (or a field [H, W]) where `amount` [H, W] is 1."""
    if under.ndim == 3:
        amount = amount[:, :, None]
    mixed: Field = under * (1 - amount)
    mixed += np.asarray(over) * amount
    return mixed


def strokes(canvas: Canvas, paths: list[list[tuple[float, float]]], width: float) -> Field:
    """Draw polylines (canvas coordinates) with a width in pixels; returns coverage in [0, 1]."""
    from PIL import Image, ImageDraw

    scale = 4
    side = max(canvas.height, canvas.width)
    image = Image.new("L", (canvas.width * scale, canvas.height * scale), 0)
    draw = ImageDraw.Draw(image)
    for path in paths:
        points = [
            (round((x * side + canvas.width / 2) * scale), round((y * side + canvas.height / 2) * scale))
            for x, y in path
        ]
        draw.line(points, fill=255, width=max(round(width * scale), 1), joint="curve")
    return np.asarray(image.reduce(scale), dtype=np.float64) / 255


def curve(
    start: tuple[float, float], control: tuple[float, float], end: tuple[float, float], points: int = 24
) -> list[tuple[float, float]]:
    """Return points of a quadratic Bezier curve."""
    path = []
    for number in range(points + 1):
        t = number / points
        a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
        path.append((a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]))
    return path


def to_bytes(picture: Field) -> UInt8Array:
    """Quantize [0, 1] to [0, 255]."""
    return np.floor(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
