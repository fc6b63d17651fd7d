"""Swin-Unet's declaration: Swin Transformer blocks on both sides of a U."""

from __future__ import annotations

from bench_core import Architecture, Departure, Layers
from bench_sma.departures import optimizer
from bench_sma.options import drop_path, variant, window
from bench_sma.swin_unet.weights import weights

SWIN_UNET = Architecture(
    name="swin-unet",
    family="SMA",
    runner="torch",
    version=1,
    build="bench_sma.swin_unet.network:build",
    title="Swin-Unet",
    paper="Cao et al., ECCV Workshops 2022, arXiv:2105.05537",
    year=2022,
    license="MIT (Swin-Tiny)",
    pretrained=("imagenet", "none"),
    weights=weights,
    requires=("torchvision",),
    parameters={1: 27_168_132, 2: 27_168_228, 3: 27_168_324, 4: 27_168_420},
    options={
        "variant": variant(
            "t",
            ("t", "nano"),
            "t: the published network; nano: a quarter of its widths, for tests and trials, not published",
        ),
        "window": window(),
        "drop_path": drop_path(0.2, "the last encoder block's branches are"),
    },
    small={"variant": "nano"},
    size_multiple=32,
    size_minimum=32,
    encoder=("embed", *(f"encoder.{stage}" for stage in range(4))),
    explained=Layers(
        encoder=("encoder.0.blocks", "encoder.1.blocks", "encoder.2.blocks", "encoder.3"),
        decoder="decoder.2",
        forms={
            "encoder.0.blocks": "channels-last",
            "encoder.1.blocks": "channels-last",
            "encoder.2.blocks": "channels-last",
        },
    ),
    quirks=(
        "The encoder's third stage has two blocks, where Swin-Tiny has six, and the decoder two at "
        "every resolution, whatever the published configuration says.",
    ),
    departures=(
        optimizer("stochastic gradient descent with momentum 0.9"),
        Departure(
            what="image size",
            published="multiples of 224 with windows of 7 tokens, others with other windows",
            here="any multiple of 32: grids are padded to whole windows of 7 (option `window`)",
            because="windows of another size would have other weights than the ImageNet encoder",
        ),
    ),
)
