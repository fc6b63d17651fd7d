"""RandomResizedCrop with image and mask on the same grid."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional


class CenteredResizedCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """torchvision's RandomResizedCrop, with nearest pixels taken at pixel centers.

    torchvision resizes masks by rounding x * scale down, which moves them by up to half a pixel against a
    bilinear image (pytorch/pytorch issue 34808). Here a mask, and an image under `interpolation: nearest`,
    take the pixel at (x + 0.5) * scale.
    """

    def __init__(self, **arguments: Any) -> None:
        if arguments.get("interpolation") == InterpolationMode.NEAREST:
            arguments["interpolation"] = InterpolationMode.NEAREST_EXACT
        super().__init__(**arguments)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize an image, as torchvision does, or a mask."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        part = functional.crop_image(inpt.as_subclass(Tensor), **params)
        part = functional.resize_image(part, size=self.size, interpolation=InterpolationMode.NEAREST_EXACT)
        return tv_tensors.wrap(part, like=inpt)
