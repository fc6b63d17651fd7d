"""The torchvision.transforms.v2 names that augment image and mask together, with their arguments, as data.

Left out on purpose: transforms that change the image's size, ignore or refuse masks, and the arguments
`fill` (it would paint a class into the mask) and `expand`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """What an argument takes, in words and as a test."""

    words: str
    accepts: Callable[[Any], bool]


def _number(value: Any, low: float = -math.inf, high: float = math.inf, *, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    return (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and -math.inf < value < math.inf
        and low <= value <= high
    )


def _numbers(
    value: Any, *counts: int, low: float = -math.inf, high: float = math.inf, rising: bool = False
) -> bool:
    fits = (
        isinstance(value, list) and len(value) in counts and all(_number(item, low, high) for item in value)
    )
    return fits and (not rising or value == sorted(value))


WIDEST = 8192
"""Pixels: no kernel, border or blur reaches further, since no image is larger."""


def _odd(value: Any) -> bool:
    return _number(value, 1, WIDEST, whole=True) and value % 2 == 1


BOOL = Kind("true or false", lambda value: isinstance(value, bool))
PROBABILITY = Kind("a probability in [0, 1]", lambda value: _number(value, 0, 1))
NUMBER = Kind("a number", _number)
NON_NEGATIVE = Kind("a number >= 0", lambda value: _number(value, 0))
BITS = Kind("a whole number from 1 to 8", lambda value: _number(value, 1, 8, whole=True))
CHANNELS = Kind("1 or 3", lambda value: _number(value, whole=True) and value in (1, 3))
POINT = Kind("two numbers, [x, y]", lambda value: _numbers(value, 2))
FRACTIONS = Kind("two fractions in [0, 1]", lambda value: _numbers(value, 2, low=0, high=1))
RATIOS = Kind("two rising numbers > 0", lambda value: _numbers(value, 2, low=1e-9, rising=True))
FACTORS = Kind("two rising numbers >= 0", lambda value: _numbers(value, 2, low=0, rising=True))
HUES = Kind(
    "two rising numbers in [-0.5, 0.5]", lambda value: _numbers(value, 2, low=-0.5, high=0.5, rising=True)
)
DEGREES = Kind(
    "a number >= 0 or two rising numbers", lambda value: _number(value, 0) or _numbers(value, 2, rising=True)
)
SHEAR = Kind(
    "a number >= 0, or two or four numbers", lambda value: _number(value, 0) or _numbers(value, 2, 4)
)
JITTER = Kind(
    "a number >= 0 or two rising numbers >= 0", lambda value: _number(value, 0) or FACTORS.accepts(value)
)
HUE_JITTER = Kind(
    "a number in [0, 0.5] or two rising numbers in [-0.5, 0.5]",
    lambda value: _number(value, 0, 0.5) or HUES.accepts(value),
)
ODD = Kind(
    f"an odd number up to {WIDEST} or two of them",
    lambda value: _odd(value) or (isinstance(value, list) and len(value) == 2 and all(map(_odd, value))),
)
SIGMA = Kind(
    f"a number > 0 or two rising ones, up to {WIDEST}",
    lambda value: _number(value, 1e-9, WIDEST) or _numbers(value, 2, low=1e-9, high=WIDEST, rising=True),
)
STRENGTH = Kind("a number >= 0 or two of them", lambda value: _number(value, 0) or _numbers(value, 2, low=0))
QUALITY = Kind(
    "a whole number from 1 to 100 or two rising ones",
    lambda value: (
        _number(value, 1, 100, whole=True)
        or (_numbers(value, 2, low=1, high=100, rising=True) and all(isinstance(item, int) for item in value))
    ),
)
SIZE = Kind(
    "the protocol's image_size",
    lambda value: (
        _number(value, 1, whole=True)
        or (
            isinstance(value, list)
            and len(value) in (1, 2)
            and all(_number(item, 1, whole=True) for item in value)
        )
    ),
)
PADDING = Kind(
    f"pixels up to {WIDEST}: a whole number, or two or four of them",
    lambda value: (
        _number(value, 0, WIDEST, whole=True)
        or (_numbers(value, 2, 4, low=0, high=WIDEST) and all(isinstance(item, int) for item in value))
    ),
)
INTERPOLATION = Kind("nearest or bilinear", lambda value: value in ("nearest", "bilinear"))
PADDING_MODE = Kind(
    "constant, edge, reflect or symmetric",
    lambda value: value in ("constant", "edge", "reflect", "symmetric"),
)

_P = {"p": PROBABILITY}
TRANSFORMS: Mapping[str, Mapping[str, Kind]] = {
    # Geometry: image and mask move together.
    "RandomHorizontalFlip": _P,
    "RandomVerticalFlip": _P,
    "RandomRotation": {"degrees": DEGREES, "interpolation": INTERPOLATION, "center": POINT},
    "RandomAffine": {
        "degrees": DEGREES,
        "translate": FRACTIONS,
        "scale": RATIOS,
        "shear": SHEAR,
        "interpolation": INTERPOLATION,
        "center": POINT,
    },
    "RandomPerspective": {"distortion_scale": PROBABILITY, "p": PROBABILITY, "interpolation": INTERPOLATION},
    "ElasticTransform": {"alpha": STRENGTH, "sigma": SIGMA, "interpolation": INTERPOLATION},
    "RandomResizedCrop": {
        "size": SIZE,
        "scale": RATIOS,
        "ratio": RATIOS,
        "interpolation": INTERPOLATION,
        "antialias": BOOL,
    },
    "RandomCrop": {"size": SIZE, "padding": PADDING, "pad_if_needed": BOOL, "padding_mode": PADDING_MODE},
    # Appearance: the image alone.
    "ColorJitter": {"brightness": JITTER, "contrast": JITTER, "saturation": JITTER, "hue": HUE_JITTER},
    "RandomPhotometricDistort": {
        "brightness": FACTORS,
        "contrast": FACTORS,
        "saturation": FACTORS,
        "hue": HUES,
        "p": PROBABILITY,
    },
    "RandomGrayscale": _P,
    "Grayscale": {"num_output_channels": CHANNELS},
    "RandomAutocontrast": _P,
    "RandomEqualize": _P,
    "RandomInvert": _P,
    "RandomPosterize": {"bits": BITS, "p": PROBABILITY},
    "RandomSolarize": {"threshold": NON_NEGATIVE, "p": PROBABILITY},
    "RandomAdjustSharpness": {"sharpness_factor": NON_NEGATIVE, "p": PROBABILITY},
    "RandomChannelPermutation": {},
    "GaussianBlur": {"kernel_size": ODD, "sigma": SIGMA},
    "GaussianNoise": {"mean": NUMBER, "sigma": NON_NEGATIVE, "clip": BOOL},
    "JPEG": {"quality": QUALITY},
}
"""Transform name to its arguments."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "RandomRotation": ("degrees",),
    "RandomAffine": ("degrees",),
    "RandomResizedCrop": ("size",),
    "RandomCrop": ("size",),
    "RandomPosterize": ("bits",),
    "RandomSolarize": ("threshold",),
    "RandomAdjustSharpness": ("sharpness_factor",),
    "GaussianBlur": ("kernel_size",),
    "JPEG": ("quality",),
}
"""Arguments without a default."""

BORDERED = ("RandomRotation", "RandomAffine", "RandomPerspective", "ElasticTransform", "RandomCrop")
"""Transforms that look beyond the image's border."""

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("Resize", "RandomResize", "RandomShortestSize", "ScaleJitter", "RandomZoomOut", "CenterCrop", "Pad",
         "FiveCrop", "TenCrop", "RandomIoUCrop"),
        "it changes the image's size, which the protocol holds constant",
    ),
    "RGB": "it changes the number of channels, which protocol.channels decides",
    **dict.fromkeys(
        ("AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix", "CutMix", "MixUp"),
        "it cannot move a mask together with its image",
    ),
    **dict.fromkeys(
        ("RandomErasing", "LinearTransformation"),
        "it changes the image where the mask still says what was there",
    ),
    **dict.fromkeys(
        ("Normalize", "ToDtype", "ToTensor", "ToImage", "ToPILImage", "PILToTensor", "ConvertImageDtype"),
        "segtrial converts and normalizes images itself (protocol.normalization)",
    ),
    **dict.fromkeys(
        ("RandomApply", "RandomChoice", "RandomOrder", "Compose", "Lambda"), "lists cannot be nested here"
    ),
}  # fmt: skip
"""torchvision's names that a spec cannot use, and why."""
REFUSED_ARGUMENTS: Mapping[str, str] = {
    "fill": "borders are filled with zeros: another value would paint a class into the mask",
    "expand": "it changes the image's size, which the protocol holds constant",
    "inplace": "images are never changed in place",
}
"""torchvision's arguments that a spec cannot use, and why."""
