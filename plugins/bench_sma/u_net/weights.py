"""VGG13-BN's ImageNet weights, whose first eight convolutions have the shapes of the U-Net's upper encoder.

Simonyan and Zisserman, arXiv:1409.1556, with batch normalization, as torchvision publishes it. Order of
layers and pooling are the U-Net's; the fifth stage, the decoder and the head have no counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_WIDTH = 64
VGG13_BN = PublishedFile(
    name="vgg13_bn-abd245e5.pth", url="https://download.pytorch.org/models/vgg13_bn-abd245e5.pth"
)

_CONVOLUTIONS = {0: (0, 0), 3: (0, 3), 7: (1, 0), 10: (1, 3), 14: (2, 0), 17: (2, 3), 21: (3, 0), 24: (3, 3)}
"""Number of a convolution in the file, and stage and number of ours; its normalization is one further."""
DROPS = (*(f"features.{number}" for number in (28, 29, 31, 32)), "classifier")
"""What the file holds beyond them."""
MISSING = (
    *("encoder.4", "upsample", "decoder", "head"),
    # Files written by torch before 0.4.1 do not have this count.
    *(f"encoder.{stage}.{number + 1}.num_batches_tracked" for stage, number in _CONVOLUTIONS.values()),
)
"""What stays random, and what need not be in the file."""


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return VGG13-BN's file; raise WeightsError for a width that it does not fit."""
    if options["width"] != PUBLISHED_WIDTH:
        raise unpublished("u-net", "width", options["width"], [PUBLISHED_WIDTH])
    return (VGG13_BN,)


def to_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename VGG13-BN's tensors to the U-Net's; names without a counterpart stay.

    The U-Net's convolutions have no bias. Theirs goes into the mean that the next normalization subtracts.
    """
    converted = dict(tensors)
    for theirs, (stage, ours) in _CONVOLUTIONS.items():
        places = ((theirs, ours), (theirs + 1, ours + 1))
        for before, after in places:
            for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                if (name := f"features.{before}.{leaf}") in converted:
                    converted[f"encoder.{stage}.{after}.{leaf}"] = converted.pop(name)
        bias = converted.pop(f"encoder.{stage}.{ours}.bias", None)
        mean = f"encoder.{stage}.{ours + 1}.running_mean"
        if bias is not None and mean in converted:
            converted[mean] = converted[mean] - bias
    return converted
