"""Augmentation by torchvision.transforms.v2: image and mask moved together, each sample from its own seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench_core.declarations import IGNORE
from bench_core.errors import TrainingError
from bench_core.protocol.planes import ByTorchvision, OnPlanes, Plane, Planes
from bench_core.protocol.randomness import seeded_cpu
from bench_core.spec.transforms import BORDERED, REFUSED, REFUSED_ARGUMENTS, REQUIRED, TRANSFORMS

COLORS = ("ColorJitter", "RandomPhotometricDistort")
FLIPS = ("RandomHorizontalFlip", "RandomVerticalFlip")
NARROW = frozenset(
    (
        *COLORS,
        *FLIPS,
        *("RandomRotation", "RandomAffine"),
        *("RandomPerspective", "ElasticTransform", "RandomCrop", "GaussianBlur"),
        *("RandomInvert", "RandomPosterize", "RandomSolarize", "RandomAutocontrast"),
    )
)
"""Transforms that do to one channel what they do to each of three equal ones."""
Settings = Sequence[tuple[str, Mapping[str, Any]]]


class Augmentation:
    """Transforms applied in order to image uint8 [C, H, W] and mask uint8 [H, W]; both keep shape and type.

    Geometry moves both, with the mask always sampled to the nearest pixel. What comes from outside is 0 in
    the image and `outside` in the mask: 0, which is background, or IGNORE. All else changes the image alone.
    A draw depends on the seed alone and leaves the global generators as they were. Pickles, so that loader
    processes can hold it. Gray images stay gray: of ColorJitter and RandomPhotometricDistort brightness and
    contrast act on them, while saturation, hue and channel order mean nothing for one channel (torchvision
    leaves such an image as it is), unless `channels` says that images have three.
    """

    def __init__(self, settings: Settings, outside: int = 0, channels: int | None = None) -> None:
        built = [(name, _build(name, dict(arguments), outside)) for name, arguments in settings]
        self.narrow = channels == 3 and all(name in NARROW for name, _ in settings)
        """True where an image of one channel is treated as one of three equal channels."""
        for name, transform in built:
            if name in COLORS:
                transform.narrow = self.narrow
        self._steps: list[tuple[str, OnPlanes]] = []
        for name, transform in built:
            before: Any = self._steps[-1][1] if self._steps else None
            if name in FLIPS and hasattr(before, "flips"):
                before.flips += (transform,)
                continue
            own = isinstance(transform, OnPlanes)
            self._steps.append((name, transform if own else ByTorchvision(transform)))
        self._draws_by_torch = not any(isinstance(step, ByTorchvision) for _, step in self._steps)

    def __call__(self, image: Tensor, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Return the augmented pair; raise TrainingError if a transform changes shape or type, or fails."""
        pair = torch.empty_like(image), torch.empty_like(mask)
        self.into(image, mask, seed, *pair)
        return pair

    def into(self, image: Tensor, mask: Tensor, seed: int, to_image: Tensor, to_mask: Tensor) -> None:
        """Write the augmented pair to `to_image` and `to_mask`."""
        planes, labels = self._augmented(list(image.contiguous().numpy()), mask.contiguous().numpy(), seed)
        for plane, to_plane in zip(planes, to_image.numpy(), strict=True):
            to_plane[:] = plane
        to_mask.numpy()[:] = labels

    def _augmented(self, image: Planes, mask: Plane, seed: int) -> tuple[Planes, Plane]:
        moved = image, mask
        with seeded_cpu(seed, torch_alone=self._draws_by_torch):
            for name, transform in self._steps:
                try:
                    moved = transform.on_planes(*moved)
                except Exception as error:  # whatever a transform raises for arguments that do not fit
                    raise _failed(name, f"{type(error).__name__}: {error}") from error
                kinds = {(plane.shape, plane.dtype) for plane in moved[0]}
                if len(moved[0]) != len(image) or kinds != {(mask.shape, mask.dtype)}:
                    made = ", ".join(f"{list(shape)} of {dtype}" for shape, dtype in kinds)
                    raise _failed(
                        name,
                        f"it made an image of {len(moved[0])} channels {made} from one of "
                        f"{len(image)} channels {list(mask.shape)} of {mask.dtype}",
                    )
        return moved


def build_augmentation(
    settings: Settings, channels: int, image_size: int, padding: str = "background"
) -> Augmentation | None:
    """Return the augmentation of a protocol's list, tried once on a blank image; None for an empty list.

    `padding` is the protocol's: what masks hold outside of the image, "background" or "ignore". Raises
    TrainingError naming the transform that is unknown, or whose arguments do not fit images [channels,
    image_size, image_size].
    """
    if not settings:
        return None
    augmentation = Augmentation(settings, IGNORE if padding == "ignore" else 0, channels)
    blank = torch.zeros(channels, image_size, image_size, dtype=torch.uint8)
    augmentation(blank, blank[0], seed=0)
    return augmentation


def _build(name: str, arguments: dict[str, Any], outside: int) -> Any:
    from torchvision import tv_tensors
    from torchvision.transforms import InterpolationMode, v2

    from bench_core.protocol.affine import OnePassAffine
    from bench_core.protocol.blur import SeparableGaussianBlur
    from bench_core.protocol.color import QuickDistort, QuickJitter
    from bench_core.protocol.crop import CenteredResizedCrop
    from bench_core.protocol.flips import QuickHorizontalFlip, QuickVerticalFlip

    if name not in TRANSFORMS:
        raise TrainingError(
            f"augmentation {name!r} cannot be used",
            place="protocol.augmentation",
            cause=REFUSED.get(
                name, "it is not a transform of torchvision.transforms.v2 that takes masks along"
            ),
            fix=f"use one of {', '.join(sorted(TRANSFORMS))}",
        )
    for key, value in arguments.items():
        takes = TRANSFORMS[name].get(key)
        if takes is None:
            cause = REFUSED_ARGUMENTS.get(key, f"it takes {', '.join(TRANSFORMS[name]) or 'no arguments'}")
            raise _failed(name, f"argument {key!r} cannot be used: {cause}")
        if not takes.accepts(value):
            raise _failed(name, f"{key} must be {takes.words}, not {value!r}")
    missing = [key for key in REQUIRED.get(name, ()) if key not in arguments]
    if missing:
        raise _failed(name, f"it needs {', '.join(missing)}")
    if "interpolation" in arguments:
        arguments["interpolation"] = InterpolationMode(arguments["interpolation"])
    if not hasattr(v2, name):
        raise _failed(name, "the installed torchvision does not have it")
    if outside and name in BORDERED:
        arguments["fill"] = {tv_tensors.Image: 0, tv_tensors.Mask: outside}
    own = {
        "ColorJitter": QuickJitter,
        "GaussianBlur": SeparableGaussianBlur,
        "RandomAffine": OnePassAffine,
        "RandomHorizontalFlip": QuickHorizontalFlip,
        "RandomPhotometricDistort": QuickDistort,
        "RandomResizedCrop": CenteredResizedCrop,
        "RandomVerticalFlip": QuickVerticalFlip,
    }
    try:
        kind = own.get(name) or getattr(v2, name)
        return kind(**arguments)
    except Exception as error:  # whatever a transform raises for arguments that do not fit each other
        raise _failed(name, f"{type(error).__name__}: {error}") from error


def _failed(name: str, cause: str) -> TrainingError:
    return TrainingError(
        f"augmentation {name} does not work as the protocol sets it",
        place="protocol.augmentation",
        cause=cause,
        fix=f"correct the arguments of {name}",
    )
