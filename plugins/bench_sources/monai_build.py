"""Builds MONAI's networks for 2D images."""

from __future__ import annotations

import monai
from monai.networks import nets
from torch import nn

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_core.install import install_command
from bench_sources.monai_source import NETWORKS, PREFIX


def build(request: BuildRequest) -> nn.Module:
    """Build the network that the request names, from images [B, C, H, W] to logits [B, K, H, W].

    Raises TrainingError for what the installed MONAI does not build.
    """
    network = NETWORKS[request.name.removeprefix(f"{PREFIX}:")]
    size = {"img_size": request.image_size} if network.takes_size else {}
    try:
        module: nn.Module = getattr(nets, network.class_name)(
            spatial_dims=2,
            in_channels=request.in_channels,
            out_channels=request.num_classes,
            **network.arguments,
            **size,
        )
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        raise TrainingError(
            f"MONAI {monai.__version__} cannot build {network.class_name}",
            cause=str(error),
            fix=f"{install_command('monai')}, or choose another network",
        ) from error
    return module
