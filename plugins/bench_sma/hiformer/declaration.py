"""HiFormer's declaration: ResNet and Swin stages, of which the finest and the coarsest are decoded."""

from __future__ import annotations

from bench_core import Architecture, Departure, Layers, Option
from bench_sma.departures import optimizer
from bench_sma.hiformer.weights import weights
from bench_sma.options import drop_path, inner_size, variant, window

HIFORMER = Architecture(
    name="hiformer",
    family="SMA",
    runner="torch",
    version=2,
    build="bench_sma.hiformer.network:build",
    title="HiFormer",
    paper="Heidari et al., WACV 2023, arXiv:2207.08518",
    year=2023,
    license="not known (ResNet-50), MIT (Swin-Tiny)",
    pretrained=("imagenet", "none"),
    weights=weights,
    requires=("torchvision",),
    parameters={1: 25_510_955, 2: 25_511_100, 3: 25_511_245, 4: 25_511_390},
    options={
        "variant": variant(
            "b",
            ("s", "b", "l", "tiny"),
            "HiFormer-S, -B or -L; tiny: a quarter of the widths and few blocks, for tests and "
            "trials, not published",
        ),
        "dlf": Option(
            type=str,
            default="reference",
            choices=("reference", "paper"),
            help="fusion of the two levels; reference: as published, where what its transformer blocks "
            "compute is not used; paper: with the blocks' output",
        ),
        "swin_weights": Option(
            type=str,
            default="fixed",
            choices=("fixed", "reference"),
            help="fixed: all of Swin-Tiny's weights; reference: its tables of relative positions alone, "
            "for the authors' code initializes the rest again after loading",
        ),
        "inner_size": inner_size(16),
        "positions": Option(
            type=str,
            default="resized",
            choices=("resized", "own"),
            help="resized: positions are stored for 224 pixels and resized to the image's grid in every "
            "forward pass; own: one learned position for each cell of the job's image size",
        ),
        "window": window(),
        "drop_path": drop_path(0.1, "the last Swin block's branches are"),
    },
    small={"variant": "tiny"},
    size_multiple=16,
    # At 16 pixels the ResNet's last stage has a single one, over which nothing can be normalized.
    size_minimum=32,
    # Counted by the authors too: the fusion changes its class tokens only, and the decoder drops them.
    dead_parameters=(
        *(f"fusion.{part}." for part in ("class_norms", "blocks", "leave", "attend", "come_back")),
    ),
    encoder=("resnet", "levels"),
    explained=Layers(encoder=("levels.0", "levels.1", "levels.2"), decoder="decode_coarse"),
    quirks=(
        "What the fusion's transformer blocks compute is not used; their 3.2 million parameters "
        "count, but nothing is computed that cannot reach the decoder (option `dlf`).",
    ),
    departures=(
        optimizer("stochastic gradient descent with momentum 0.9"),
        Departure(
            what="image size",
            published="224; others only where their grids are multiples of the window, with a number of "
            "positions that differs by size",
            here="any multiple of 16: grids are padded to whole windows, and the positions of 224 pixels "
            "are resized (options `positions`, `window`, `inner_size`)",
            because="the network and its number of parameters are then the same at every size",
        ),
        Departure(
            what="ImageNet weights of the Swin blocks",
            published="lost: all linear layers and normalizations are initialized again after loading",
            here="kept, unless the option `swin_weights` is reference",
            because="a comparison of pretrained encoders needs them",
        ),
    ),
)
