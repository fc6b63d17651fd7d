"""RandomAffine with torchvision's parameters and pixels, as one pass over the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

_ROWS = 64
"""So many rows at a time, whose grid and samples stay in the processor's cache."""


class OnePassAffine(v2.RandomAffine):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomAffine, several times faster on a CPU.

    It draws the same parameters and samples the same places with the same weights: the numbers are
    torchvision's. The grid is made and used in strips, and what lies outside is filled in the same pass.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move an image uint8 [C, H, W] with the chosen interpolation, a mask [1, H, W] to nearest pixels."""
        height, width = inpt.shape[-2:]
        coefficients = _inverse(params, self.center, height, width)
        pixels = inpt.as_subclass(Tensor)
        if isinstance(inpt, tv_tensors.Mask):
            fill = self.fill[tv_tensors.Mask] if isinstance(self.fill, Mapping) else self.fill
            moved = _nearest(pixels, coefficients, int(fill))
        elif InterpolationMode(self.interpolation) == InterpolationMode.NEAREST:
            moved = _nearest(pixels, coefficients, 0)
        else:
            moved = _bilinear(pixels, coefficients)
        return tv_tensors.wrap(moved, like=inpt)


def _inverse(params: Mapping[str, Any], center: Any, height: int, width: int) -> Tensor:
    """Return float32 [2, 3]: from an output pixel's place, counted from the middle, to its source's.

    Forward, a point is sheared along x, then along y, scaled, rotated around `center` and shifted. Results
    are in halves of the image's width and height, as grid_sample takes them.
    """
    angle, (shear_x, shear_y) = math.radians(params["angle"]), map(math.radians, params["shear"])
    shear_cos, shear_tan = math.cos(shear_y), math.tan(shear_x)
    # Rotation after both shears; its determinant is 1.
    along_x = math.cos(angle - shear_y) / shear_cos, math.sin(angle - shear_y) / shear_cos
    along_y = -(along_x[0] * shear_tan + math.sin(angle)), math.cos(angle) - along_x[1] * shear_tan
    scale = params["scale"]
    rows = [
        [along_y[1] / scale, -along_y[0] / scale],
        [-along_x[1] / scale, along_x[0] / scale],
    ]
    pivot = [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]
    moved = [pivot[0] + params["translate"][0], pivot[1] + params["translate"][1]]
    matrix = [
        [*row, start - row[0] * moved[0] - row[1] * moved[1]] for row, start in zip(rows, pivot, strict=True)
    ]
    return torch.tensor(matrix, dtype=torch.float32).div_(torch.tensor([[0.5 * width], [0.5 * height]]))


def _grids(coefficients: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield strips of the grid [1, R, W, 2] with the rows that they are for.

    Products are rounded before they are added: the order in which torchvision's matrix product does it.
    """
    across = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, steps=width)
    down = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, steps=height)[:, None]
    # One plane for x and one for y: contiguous writing, and as fast to read.
    planes = torch.empty(2, min(_ROWS, height), width)
    for start in range(0, height, _ROWS):
        rows = slice(start, min(start + _ROWS, height))
        part = planes[:, : rows.stop - start]
        for plane, (by_x, by_y, shift) in zip(part, coefficients.tolist(), strict=True):
            torch.add(across * by_x, down[rows] * by_y, out=plane).add_(shift)
        yield rows, part.permute(1, 2, 0)[None]


def _sample(source: Tensor, grid: Tensor, mode: str) -> Tensor:
    return torch.nn.functional.grid_sample(
        source, grid, mode=mode, padding_mode="zeros", align_corners=False
    )[0]


def _bilinear(pixels: Tensor, coefficients: Tensor) -> Tensor:
    channels, height, width = pixels.shape
    # One plane more: how much of a sample lies inside, by which torchvision fades the border to black.
    source = torch.ones(1, channels + 1, height, width)
    source[0, :channels] = pixels
    moved = torch.empty_like(pixels)
    for rows, grid in _grids(coefficients, height, width):
        found = _sample(source, grid, "bilinear")
        levels = found[:channels].mul_(found[channels:]).numpy()
        for plane, out in zip(levels, moved.numpy()[:, rows], strict=True):
            # Rounds to the nearest whole number, halves to even ones, several times faster than PyTorch.
            cv2.convertScaleAbs(plane, out)
    return moved


def _nearest(pixels: Tensor, coefficients: Tensor, fill: int) -> Tensor:
    """Sample the nearest pixels; `fill` is 0 or 255."""
    height, width = pixels.shape[-2:]
    # Outside comes 0, which is one more than 255 in a byte.
    shift = 1 if fill else 0
    source = (pixels + shift)[None].float()
    if shift:
        source[source == 0] = 256.0
    moved = torch.empty_like(pixels)
    for rows, grid in _grids(coefficients, height, width):
        found = _sample(source, grid, "nearest").numpy().astype(np.int16)
        moved.numpy()[:, rows] = (found - shift if shift else found).astype(np.uint8)
    return moved
