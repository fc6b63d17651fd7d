"""What a transform has that works on plain arrays instead of torchvision's tensors, in less time."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""One channel of an image, or a mask, [H, W], contiguous."""
Planes = list[Plane]
"""An image by its channels."""


@runtime_checkable
class OnPlanes(Protocol):
    """A transform of torchvision.transforms.v2 that draws and does the same by `on_planes`."""

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Return the transformed pair and leave the given one as it is; what is unchanged may be returned.

        The draws are those of the torchvision transform, in its order, from torch's global CPU generator.
        """


class ByTorchvision:
    """Any transform of torchvision.transforms.v2, for use among those on planes."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Let torchvision transform the pair."""
        from torchvision import tv_tensors

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            moved = self._transform(
                tv_tensors.Image(torch.from_numpy(np.stack(image))),
                tv_tensors.Mask(torch.from_numpy(mask)[None]),
            )
        found, labels = (part.as_subclass(torch.Tensor).contiguous().numpy() for part in moved)
        return list(found), labels[0]


@lru_cache(maxsize=8)
def stand_in(channels: int, height: int, width: int) -> Any:
    """Return an image of this size, without memory for its pixels, for draws that depend on the size."""
    from torchvision import tv_tensors

    return tv_tensors.Image(torch.zeros((), dtype=torch.uint8).expand(channels, height, width))
