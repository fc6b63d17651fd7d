"""RandomHorizontalFlip and RandomVerticalFlip with torchvision's draws."""

from __future__ import annotations

import cv2
import torch
from torchvision.transforms import v2

from bench_core.protocol.planes import Plane, Planes


class _Flip:
    """How both flips are drawn and done."""

    p: float
    axis: int
    """1 turns the left side to the right, 0 the upper side down."""

    def drawn(self) -> bool:
        """Draw whether to flip."""
        return bool(torch.rand(1) < self.p)

    def on_planes(self, image: Planes, mask: Plane) -> tuple[Planes, Plane]:
        """Flip the pair, or leave it."""
        if not self.drawn():
            return image, mask
        return [cv2.flip(plane, self.axis) for plane in image], cv2.flip(mask, self.axis)


class QuickHorizontalFlip(_Flip, v2.RandomHorizontalFlip):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomHorizontalFlip, and the same in less time."""

    axis = 1


class QuickVerticalFlip(_Flip, v2.RandomVerticalFlip):  # type: ignore[misc]
    """torchvision.transforms.v2.RandomVerticalFlip, and the same in less time."""

    axis = 0


QuickFlip = QuickHorizontalFlip | QuickVerticalFlip
