"""Earlier hybrids that the study names, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Option
from bench_sma.swin_unet_weights import weights_file as swin_unet_weights
from bench_sma.swin_weights import WINDOW
from bench_sma.transunet.weights import weights_file as transunet_weights


def transunet() -> Architecture:
    """TransUNet: a ResNet-50 of three stages, a ViT-B/16 on its features and a decoder with skips."""
    return Architecture(
        name="transunet",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.transunet.network:build",
        title="TransUNet",
        paper="Chen et al., arXiv:2102.04306",
        year=2021,
        license="Apache-2.0 (R50+ViT-B/16)",
        pretrained=("imagenet", "none"),
        find_weights=transunet_weights,
        parameters={1: 105_275_921, 2: 105_276_066, 3: 105_276_211, 4: 105_276_356},
        options={
            "variant": Option(
                type=str,
                default="r50-vit-b16",
                choices=("r50-vit-b16", "tiny"),
                help="r50-vit-b16: the published network; tiny: a few narrow layers of each kind, for tests "
                "and trials, not published",
            ),
            "positions": Option(
                type=str,
                default="resized",
                choices=("resized", "own"),
                help="resized: the 14x14 positions of the published weights, resized to the image's grid in "
                "every forward pass; own: one learned position for each cell of the job's image size",
            ),
            "cnn": Option(
                type=str,
                default="reference",
                choices=("reference", "corrected"),
                help="reference: the convolutional network of the authors' code; corrected: the one that its "
                "ImageNet weights were trained in",
            ),
        },
        small={"variant": "tiny"},
        size_multiple=16,
        # At 16 pixels the last stage has a single one, over which its shortcut cannot be normalized.
        size_minimum=32,
        cam_layers=("transformer", "decoder.blocks.3"),
        quirks=(
            "Its convolutional network is not quite the one that its weights were trained in: shortcuts "
            "are normalized channel by channel, strided layers pad evenly, pooling loses a row and a "
            "column, and kernels are standardized with another epsilon (option `cnn`).",
            "One-channel images are repeated three times, for standardized kernels cannot be summed over "
            "red, green and blue.",
        ),
        departures=(
            Departure(
                what="image size",
                published="one, for which the network is built: its number of positions differs by size",
                here="any; the 14x14 positions of 224 pixels are resized in the network, as the authors "
                "resize them when they load weights (option `positions`)",
                because="the network and its number of parameters are then the same at every size",
            ),
        ),
    )


def swin_unet() -> Architecture:
    """Swin-Unet-T: Swin Transformer blocks on both sides of a U."""
    return Architecture(
        name="swin-unet",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.swin_unet:build",
        title="Swin-Unet",
        paper="Cao et al., ECCV Workshops 2022, arXiv:2105.05537",
        year=2022,
        license="MIT (Swin-Tiny)",
        pretrained=("imagenet", "none"),
        find_weights=swin_unet_weights,
        requires=("torchvision",),
        parameters={1: 27_168_132, 2: 27_168_228, 3: 27_168_324, 4: 27_168_420},
        options={
            "variant": Option(
                type=str,
                default="t",
                choices=("t", "nano"),
                help="t: the published network; nano: a quarter of its widths, for tests and trials, not "
                "published",
            ),
            "window": WINDOW,
            "drop_path": Option(
                type=float,
                default=0.2,
                minimum=0,
                maximum=0.9,
                help="probability that the last encoder block's branches are left out in training",
            ),
        },
        small={"variant": "nano"},
        size_multiple=32,
        size_minimum=32,
        cam_layers=("encoder.3", "decoder.2"),
        quirks=(
            "The encoder's third stage has two blocks, where Swin-Tiny has six, and the decoder two at "
            "every resolution, whatever the published configuration says.",
        ),
        departures=(
            Departure(
                what="image size",
                published="multiples of 224 with windows of 7 tokens, others with other windows",
                here="any multiple of 32: grids are padded to whole windows of 7 (option `window`)",
                because="windows of another size would have other weights than the ImageNet encoder",
            ),
        ),
    )
