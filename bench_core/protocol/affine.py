"""RandomAffine with torchvision's parameters and pixels, as one pass over the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from bench_core.protocol.flips import QuickFlip
from bench_core.protocol.places import Floats, Places
from bench_core.protocol.planes import Plane, Planes, stand_in
from bench_core.protocol.sampling import nearest, weighed


class OnePassAffine(v2.RandomAffine):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomAffine, and the same several times faster on a CPU."""

    flips: tuple[QuickFlip, ...] = ()
    """Flips that follow at once, and cost nothing in the same pass."""

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Move an image with the chosen interpolation and a mask to nearest pixels, and flip both.

        Parameters and places are torchvision's. Masks are equal. Images may be one gray level apart where a
        place that is rounded otherwise (by about 1e-4 pixels) tips a level, and on the border, whose pixels
        are rounded before they are faded to black.
        """
        params = self.make_params([stand_in(len(image), *mask.shape)])
        turns = {0: False, 1: False}
        for flip in self.flips:
            turns[flip.axis] ^= flip.drawn()
        height, width = mask.shape
        inverse = _inverse(params, self.center, height, width)
        places = Places(inverse, height, width, leftright=turns[1], updown=turns[0])
        fill = int(self.fill[tv_tensors.Mask] if isinstance(self.fill, Mapping) else self.fill)
        if InterpolationMode(self.interpolation) == InterpolationMode.NEAREST:
            *moved, mask = nearest([*image, mask], places, [*(0 for _ in image), fill])
            return moved, mask
        return weighed(image, places), nearest([mask], places, [fill])[0]


def _inverse(params: Mapping[str, Any], center: Any, height: int, width: int) -> Floats:
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
    halves = np.array([[0.5 * width], [0.5 * height]], dtype=np.float32)
    return np.array(matrix, dtype=np.float32) / halves
