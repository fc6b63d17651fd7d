"""TransUNet's declaration: a ResNet-50 of three stages, a ViT-B/16 on its features, a decoder with skips."""

from __future__ import annotations

from bench_core import Architecture, Departure, Layers, Option
from bench_sma.departures import optimizer
from bench_sma.options import variant
from bench_sma.transunet.weights import weights

TRANSUNET = Architecture(
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
    weights=weights,
    parameters={1: 105_275_921, 2: 105_276_066, 3: 105_276_211, 4: 105_276_356},
    options={
        "variant": variant(
            "r50-vit-b16",
            ("r50-vit-b16", "tiny"),
            "r50-vit-b16: the published network; tiny: a few narrow layers of each kind, for tests "
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
    encoder=("resnet", "transformer"),
    explained=Layers(
        encoder=("resnet.root", "resnet.stages.0", "resnet.stages.1", "resnet.stages.2", "transformer"),
        decoder="decoder.blocks.2",
    ),
    quirks=(
        "Its convolutional network is not quite the one that its weights were trained in: shortcuts "
        "are normalized channel by channel, strided layers pad evenly, pooling loses a row and a "
        "column, and kernels are standardized with another epsilon (option `cnn`).",
        "One-channel images are repeated three times, for standardized kernels cannot be summed over "
        "red, green and blue.",
    ),
    departures=(
        optimizer("stochastic gradient descent with momentum 0.9"),
        Departure(
            what="image size",
            published="one, for which the network is built: its number of positions differs by size",
            here="any; the 14x14 positions of 224 pixels are resized in the network, as the authors "
            "resize them when they load weights (option `positions`)",
            because="the network and its number of parameters are then the same at every size",
        ),
    ),
)
