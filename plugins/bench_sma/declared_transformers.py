"""The study's specialized medical transformers, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Option
from bench_sma.hiformer.weights import weights_file as hiformer_weights
from bench_sma.missformer.weights import weights_file as missformer_weights
from bench_sma.swin_weights import WINDOW


def hiformer() -> Architecture:
    """HiFormer-B: ResNet-50 and Swin-Tiny stages, of which the finest and the coarsest are decoded."""
    return Architecture(
        name="hiformer",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.hiformer.network:build",
        title="HiFormer",
        paper="Heidari et al., WACV 2023, arXiv:2207.08518",
        year=2023,
        license="BSD-3-Clause (ResNet-50), MIT (Swin-Tiny)",
        pretrained=("imagenet", "none"),
        find_weights=hiformer_weights,
        requires=("torchvision",),
        parameters={1: 25_510_955, 2: 25_511_100, 3: 25_511_245, 4: 25_511_390},
        options={
            "variant": Option(
                type=str,
                default="b",
                choices=("s", "b", "l", "tiny"),
                help="HiFormer-S, -B or -L; tiny: a quarter of the widths and few blocks, for tests and "
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
            "inner_size": Option(
                type=int,
                default=None,
                minimum=32,
                multiple=16,
                help="side that images are resized to inside the network, a multiple of 16 (224 in the "
                "paper); the protocol's image size if not given",
            ),
            "positions": Option(
                type=str,
                default="resized",
                choices=("resized", "own"),
                help="resized: positions are stored for 224 pixels and resized to the image's grid in every "
                "forward pass; own: one learned position for each cell of the job's image size",
            ),
            "window": WINDOW,
            "drop_path": Option(
                type=float,
                default=0.1,
                minimum=0,
                maximum=0.9,
                help="probability that the last Swin block's branches are left out in training",
            ),
        },
        small={"variant": "tiny"},
        size_multiple=16,
        # At 16 pixels the ResNet's last stage has a single one, over which nothing can be normalized.
        size_minimum=32,
        # Counted by the authors too: the fusion changes its class tokens only, and the decoder drops them.
        dead_parameters=(
            *(f"fusion.{part}." for part in ("class_norms", "blocks", "leave", "attend", "come_back")),
        ),
        cam_layers=("levels.2", "reduce"),
        quirks=(
            "What the fusion's transformer blocks compute is not used; their 3.2 million parameters "
            "count, but nothing is computed that cannot reach the decoder (option `dlf`).",
        ),
        departures=(
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


def missformer() -> Architecture:
    """MISSFormer: a MiT-B1-like encoder, a four-layer bridge and a mirrored decoder."""
    feed_forwards = [
        *(f"encoder.stages.{stage}.blocks.{block}.feed_forward" for stage in range(4) for block in (0, 1)),
        *(f"bridge.layers.{layer}.feed_forwards.{scale}" for layer in range(4) for scale in range(4)),
        *(f"decoder.{level}.blocks.{block}.feed_forward" for level in range(3) for block in (0, 1)),
    ]
    return Architecture(
        name="missformer",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.missformer.network:build",
        title="MISSFormer",
        paper="Huang et al., arXiv:2109.07162",
        year=2021,
        license="NVIDIA Source Code License (non-commercial) (MiT-B1)",
        pretrained=("imagenet", "none"),
        find_weights=missformer_weights,
        parameters={1: 42_462_017, 2: 42_462_082, 3: 42_462_147, 4: 42_462_212},
        options={
            "variant": Option(
                type=str,
                default="b1",
                choices=("b1", "tiny"),
                help="b1: the published network; tiny: an eighth of its widths and half of its encoder's "
                "blocks, for tests and trials, not published",
            ),
            "inner_size": Option(
                type=int,
                default=None,
                minimum=32,
                multiple=32,
                help="side that images are resized to inside the network, a multiple of 32 (224 in the "
                "paper); the protocol's image size if not given",
            ),
        },
        small={"variant": "tiny"},
        size_multiple=32,
        # At 32 pixels every stage attends to a single key, from 64 on to four and more.
        size_minimum=32,
        # Counted by the authors too: of the deepest decoder level only the expansion is used, of each
        # feed-forward network's three normalizations one.
        dead_parameters=(
            "decoder.3.fuse.",
            "decoder.3.blocks.",
            *(f"{path}.unused_norms." for path in feed_forwards),
        ),
        cam_layers=("encoder.stages.3", "decoder.0"),
        quirks=(
            "Of the deepest decoder level only the expansion is used, and of each feed-forward network's "
            "three normalizations one: 7.0 of 42.5 million parameters do nothing.",
            "The bridge takes groups of channels of its reduced maps for tokens, which does not undo how "
            "it cuts pixels into tokens elsewhere.",
        ),
        departures=(
            Departure(
                what="initial weights of the encoder",
                published="random",
                here="MiT-B1's from ImageNet under `pretrained: imagenet`; the normalizations that its "
                "feed-forward networks lack stay as initialized",
                because="its tensors fit by name and shape, though each feed-forward network adds a skip and "
                "a normalization to what they were trained in",
            ),
            Departure(
                what="image size",
                published="224",
                here="the protocol's; the option `inner_size: 224` resizes inside the network",
                because="no learned tensor depends on the size",
            ),
        ),
    )
