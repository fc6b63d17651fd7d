"""Which sizes of images networks take, and networks that see them at a size of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from bench_core.errors import TrainingError


def check_sides(model: str, images: Tensor, multiple: int) -> None:
    """Raise TrainingError unless height and width of images [B, C, H, W] are multiples of `multiple`."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        raise TrainingError(
            f"{model} cannot take images of {height}x{width} pixels",
            cause=f"its deepest features lie on a grid of {multiple} pixels",
            fix=f"resize them so that height and width are multiples of {multiple}",
        )


def at_inner_size(segment: Callable[[Tensor], Tensor], images: Tensor, inner_size: int | None) -> Tensor:
    """Return logits [B, K, H, W] of images [B, C, H, W], computed at [inner_size, inner_size] if given.

    Both ways bilinearly, aligned at pixels' outer edges.
    """
    if inner_size is None:
        return segment(images)
    return _resize(segment(_resize(images, (inner_size, inner_size))), images.shape[-2:])


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
