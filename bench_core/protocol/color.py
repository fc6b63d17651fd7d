"""Brightness, contrast, saturation and hue as torchvision defines them, with less work on a CPU.

Brightness and contrast bit for bit, where a side of the image is a multiple of four pixels. In others PyTorch
rounds the last few pixels of an image, which do not fill a vector of its arithmetic, otherwise than the rest.
Saturation and hue may be one gray level beside torchvision's.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from bench_core.protocol.hue import turned
from bench_core.protocol.planes import Plane, Planes, stand_in

_PIXELS = 1 << 16
"""So many pixels at a time, whose intermediate numbers stay in the processor's cache."""
_RAMP = np.arange(256, dtype=np.uint8)[None]
"""Every gray level, as an image."""
_CUT = 2.0**-12 - 0.5
"""Makes rounding to the nearest whole number a cut to the next lower one, but for the last 1/4096."""


class QuickDistort(v2.RandomPhotometricDistort):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomPhotometricDistort, and the same in less time."""

    narrow = False
    """True where an image of one channel stands for one of three equal channels."""

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Change an image of one or three channels."""
        params = self.make_params([stand_in(3 if self.narrow else len(image), *mask.shape)])
        contrast = "contrast" if params["contrast_before"] else None
        for name in ("brightness", contrast, "saturation", "hue", None if contrast else "contrast"):
            if name is not None and params[f"{name}_factor"] is not None:
                image = adjust(image, name, params[f"{name}_factor"], self.narrow)
        if params["channel_permutation"] is not None and not (self.narrow and len(image) == 1):
            image = [image[channel] for channel in params["channel_permutation"].tolist()]
        return image, mask


class QuickJitter(v2.ColorJitter):  # type: ignore[misc]
    """torchvision.transforms.v2.ColorJitter, and the same in less time."""

    narrow = False
    """True where an image of one channel stands for one of three equal channels."""

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Change an image of one or three channels."""
        params = self.make_params([])
        names = ("brightness", "contrast", "saturation", "hue")
        for name in (names[index] for index in params["fn_idx"].tolist()):
            if params[f"{name}_factor"] is not None:
                image = adjust(image, name, params[f"{name}_factor"], self.narrow)
        return image, mask


def adjust(image: Planes, name: str, factor: float, narrow: bool = False) -> Planes:
    """Return an image with its brightness, contrast, saturation or hue changed.

    Saturation and hue leave an image of one channel as it is, unless it is `narrow` and stands for three
    equal ones. Raises TypeError for other than one or three channels.
    """
    if len(image) not in (1, 3):
        raise TypeError(f"images with {len(image)} channels have no {name}; one or three have")
    if name == "brightness":
        return _blended(image, factor, torch.zeros(()))
    narrow = narrow and len(image) == 1
    if name == "contrast":
        mean = _mean_of_narrow(image) if narrow else _mean(image)
        return _blended(image, factor, mean)
    if narrow:
        # Of equal channels each new level depends on the old one alone.
        return looked_up(image, adjust([_RAMP] * 3, name, factor)[0].reshape(-1))
    if len(image) == 1:
        return image
    return _saturated(image, factor) if name == "saturation" else turned(image, factor)


def _blended(image: Planes, factor: float, level: Tensor) -> Planes:
    """Return the image blended with a constant gray level, clamped and cut to whole numbers."""
    levels = torch.arange(256, dtype=torch.float32)
    table = levels.mul_(factor).add_(level, alpha=1.0 - factor).clamp_(0, 255).to(torch.uint8).numpy()
    shift = float(level) * (1.0 - factor) + _CUT
    # Arithmetic takes half as long as looking up, where it comes to the same.
    if np.array_equal(_scaled(_RAMP, factor, shift).reshape(-1), table):
        return [_scaled(plane, factor, shift) for plane in image]
    return looked_up(image, table)


def _scaled(plane: Plane, factor: float, shift: float) -> Plane:
    levels: Plane = cv2.addWeighted(plane, factor, plane, 0.0, shift)
    return levels


def looked_up(image: Planes, table: Plane) -> Planes:
    """Return the image with each gray level replaced by the table's."""
    return [cv2.LUT(plane, table) for plane in image]


def _grays(image: Planes) -> Iterator[tuple[slice, Tensor]]:
    """Yield the luma (ITU-R 601) of parts of the flat image, cut to whole numbers, as float32 [N]."""
    flat = [torch.from_numpy(plane).view(-1) for plane in image]
    for start in range(0, len(flat[0]), _PIXELS):
        part = slice(start, start + _PIXELS)
        # In the order of torchvision's sums, but of numbers that PyTorch need not convert one by one.
        red, green, blue = (plane[part].float() for plane in flat)
        yield part, red.mul_(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()


def _mean(image: Planes) -> Tensor:
    """Return the mean luma."""
    if len(image) == 1:
        return torch.from_numpy(image[0]).float().mean()
    gray = torch.empty(image[0].size)
    for part, luma in _grays(image):
        gray[part] = luma
    return gray.mean()


def _mean_of_narrow(image: Planes) -> Tensor:
    """Return the mean luma of three channels that equal this one: rounding makes it less than its mean."""
    [(_, luma)] = _grays([_RAMP] * 3)
    return _mean(looked_up(image, luma.numpy().astype(np.uint8)))


def _saturated(image: Planes, factor: float) -> Planes:
    changed = [np.empty_like(plane) for plane in image]
    for part, luma in _grays(image):
        gray = luma.numpy().astype(np.uint8)
        for plane, out in zip(image, changed, strict=True):
            found = out.reshape(-1)[part, None]
            cv2.addWeighted(plane.reshape(-1)[part, None], factor, gray[:, None], 1.0 - factor, _CUT, found)
    return changed
