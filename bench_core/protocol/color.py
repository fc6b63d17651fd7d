"""Brightness, contrast, saturation and hue as torchvision defines them, with less work on a CPU.

Bit for bit, where a side of the image is a multiple of four pixels. In others PyTorch rounds the last few
pixels of an image, which do not fill a vector of its arithmetic, otherwise than the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

_PIXELS = 1 << 15
"""So many pixels at a time, whose intermediate numbers stay in the processor's cache."""


class QuickDistort(v2.RandomPhotometricDistort):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomPhotometricDistort: the same draws, the same pixels, in less time."""

    narrow = False
    """True where an image of one channel stands for one of three equal channels."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw factors and an order of the channels."""
        return dict(super().make_params([_THREE] if self.narrow else flat_inputs))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change an image uint8 [C, H, W] of one or three channels; return masks as they are."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        image = inpt.as_subclass(Tensor)
        contrast = "contrast" if params["contrast_before"] else None
        for name in ("brightness", contrast, "saturation", "hue", None if contrast else "contrast"):
            if name is not None and params[f"{name}_factor"] is not None:
                image = adjust(image, name, params[f"{name}_factor"], self.narrow)
        if params["channel_permutation"] is not None and not (self.narrow and len(image) == 1):
            image = image[params["channel_permutation"]]
        return tv_tensors.wrap(image, like=inpt)


class QuickJitter(v2.ColorJitter):  # type: ignore[misc]
    """torchvision.transforms.v2.ColorJitter: the same draws, the same pixels, in less time."""

    narrow = False
    """True where an image of one channel stands for one of three equal channels."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change an image uint8 [C, H, W] of one or three channels; return masks as they are."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        image = inpt.as_subclass(Tensor)
        names = ("brightness", "contrast", "saturation", "hue")
        for name in (names[index] for index in params["fn_idx"].tolist()):
            if params[f"{name}_factor"] is not None:
                image = adjust(image, name, params[f"{name}_factor"], self.narrow)
        return tv_tensors.wrap(image, like=inpt)


_THREE = tv_tensors.Image(torch.zeros(3, 1, 1, dtype=torch.uint8))


def adjust(image: Tensor, name: str, factor: float, narrow: bool = False) -> Tensor:
    """Return an image uint8 [C, H, W] with its brightness, contrast, saturation or hue changed.

    Saturation and hue leave an image of one channel as it is, unless it is `narrow` and stands for three
    equal ones. Raises TypeError for other than one or three channels.
    """
    if image.shape[0] not in (1, 3):
        raise TypeError(f"images with {image.shape[0]} channels have no {name}; one or three have")
    if name == "brightness":
        return _looked_up(image, _levels().mul(factor))
    narrow = narrow and image.shape[0] == 1
    if name == "contrast":
        mean = _mean_of_narrow(image) if narrow else _mean(image)
        return _looked_up(image, _levels().mul(factor).add_(mean, alpha=1.0 - factor))
    if narrow:
        # Of equal channels each new level depends on the old one alone.
        return _looked_up(image, adjust(_levels().expand(3, 1, 256), name, factor)[0, 0])
    if image.shape[0] == 1:
        return image
    return _saturation(image, factor) if name == "saturation" else _hue(image, factor)


def _levels() -> Tensor:
    return torch.arange(256, dtype=torch.uint8)


def _looked_up(image: Tensor, table: Tensor) -> Tensor:
    """Return the image with each gray level replaced by the table's, clamped and cut to a whole number."""
    levels = table.clamp_(0, 255).to(torch.uint8).numpy()
    pixels = image.contiguous().numpy()
    return torch.from_numpy(cv2.LUT(pixels.reshape(-1, pixels.shape[-1]), levels).reshape(pixels.shape))


def _parts(image: Tensor) -> Iterator[tuple[slice, Tensor]]:
    flat = image.reshape(3, -1)
    for start in range(0, flat.shape[1], _PIXELS):
        part = slice(start, start + _PIXELS)
        yield part, flat[:, part]


def _gray(colors: Tensor) -> Tensor:
    """Return the luma of colors uint8 [3, N] (ITU-R 601), cut to whole numbers, as float32 [N]."""
    red, green, blue = colors
    luma: Tensor = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return luma.floor_()


def _mean(image: Tensor) -> Tensor:
    """Return the mean luma."""
    if image.shape[0] == 1:
        return image.float().mean()
    gray = torch.empty(image.shape[1:])
    for part, colors in _parts(image):
        gray.view(-1)[part] = _gray(colors)
    return gray.mean()


def _mean_of_narrow(image: Tensor) -> Tensor:
    """Return the mean luma of three channels that equal this one: rounding makes it less than its mean."""
    return _looked_up(image, _gray(_levels().expand(3, 256)))[0].float().mean()


def _saturation(image: Tensor, factor: float) -> Tensor:
    changed = np.empty((3, image[0].numel()), dtype=np.uint8)
    for part, colors in _parts(image):
        blend = colors.mul(factor).add_(_gray(colors), alpha=1.0 - factor)
        changed[:, part] = blend.clamp_(0, 255).numpy()
    return torch.from_numpy(changed).view(image.shape)


def _hue(image: Tensor, shift: float) -> Tensor:
    changed = np.empty((3, image[0].numel()), dtype=np.uint8)
    for part, colors in _parts(image):
        _turn(colors.numpy(), np.float32(shift), changed[:, part])
    return torch.from_numpy(changed).view(image.shape)


_UNIT = np.float32(1.0 / 255)
_WHOLE = np.float32(256.0 - 1e-3)
_ONE, _SIX, _SIXTH = np.float32(1), np.float32(6), np.float32(1.0 / 6.0)


def _turn(colors: NDArray[np.uint8], shift: np.float32, changed: NDArray[np.uint8]) -> None:
    """Turn the hue of colors uint8 [3, N] by `shift` of a full circle, through HSV in float32."""
    largest = colors.max(axis=0)
    value = _UNIT * largest
    spread = value - _UNIT * colors.min(axis=0)
    gray = spread == 0
    divisor = spread + gray
    red, green, blue = ((value - _UNIT * plane) / divisor for plane in colors)
    reds = colors[0] == largest
    greens = (colors[1] == largest) & ~reds
    hue = (blue - green) * reds
    hue += (red + np.float32(2) - blue) * greens
    hue += (green + np.float32(4) - red) * ~(reds | greens)
    # From 5/6 to 11/6: what a division by 1 leaves is found by subtraction.
    hue *= _SIXTH
    hue += _ONE
    hue -= hue >= 1
    hue += shift
    hue -= np.floor(hue)
    hue *= _SIX
    sector = np.floor(hue)
    hue -= sector
    saturation = spread / (value + gray)
    scaled = saturation * hue
    rest = _ONE - saturation
    falling, rising, low = (_levels_of(share * value) for share in (_ONE - scaled, scaled + rest, rest))
    _spread(sector.astype(np.uint8), largest, falling, rising, low, changed)


def _levels_of(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    shares *= _WHOLE
    return shares.astype(np.uint8)


def _spread(
    sector: NDArray[np.uint8],
    high: NDArray[np.uint8],
    falling: NDArray[np.uint8],
    rising: NDArray[np.uint8],
    low: NDArray[np.uint8],
    changed: NDArray[np.uint8],
) -> None:
    """Give each channel its level in the sector of the color circle: a bit mask for each of the six."""
    sector[sector == 6] = 0
    of = [-(sector == number).view(np.uint8) for number in range(6)]
    odd = of[1] | of[3] | of[5]
    middle = rising ^ ((rising ^ falling) & odd)
    for channel, first in enumerate((0, 2, 4)):
        # From its own sector on: high, middle, low, low, middle, high.
        mask = of[first:] + of[:first]
        np.bitwise_or(high & (mask[0] | mask[5]), low & (mask[2] | mask[3]), out=changed[channel])
        changed[channel] |= middle & (mask[1] | mask[4])
