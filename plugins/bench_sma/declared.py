"""The specialized medical architectures of the study, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Option
from bench_sma.earlier import swin_unet, transunet
from bench_sma.hiformer.weights import weights_file as hiformer_weights
from bench_sma.missformer.weights import weights_file as missformer_weights
from bench_sma.swin_umamba.weights import weights_file as swin_umamba_weights
from bench_sma.swin_weights import WINDOW
from bench_sma.unet_weights import weights_file as u_net_weights


def architectures() -> list[Architecture]:
    """Return the study's five architectures and earlier hybrids that it names."""
    return [u_net(), swin_umamba(), hiformer(), missformer(), u_kan(), transunet(), swin_unet()]


def u_net() -> Architecture:
    """U-Net with widths 64 to 1024 and transposed convolutions."""
    return Architecture(
        name="u-net",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.unet:build",
        title="U-Net",
        paper="Ronneberger et al., MICCAI 2015, arXiv:1505.04597",
        license="BSD-3-Clause (VGG13-BN)",
        pretrained=("none", "vgg13_bn"),
        find_weights=u_net_weights,
        parameters={1: 31_037_633, 2: 31_037_698, 3: 31_037_763, 4: 31_037_828},
        size_minimum=16,
        cam_layers=("encoder.4", "decoder.4"),
        options={
            "width": Option(
                type=int,
                default=64,
                minimum=1,
                help="channels of the first stage; each of the four stages below has twice as many",
            )
        },
        deviations={
            "pretrained": Deviation(
                value="none", because="no ImageNet weights exist for the network of 31 million parameters"
            )
        },
    )


def swin_umamba() -> Architecture:
    """Swin-UMamba: a VMamba-Tiny encoder in a U-shaped network."""
    return Architecture(
        name="swin-umamba",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.swin_umamba.network:build",
        title="Swin-UMamba",
        paper="Liu et al., MICCAI 2024, arXiv:2402.03302",
        license="MIT (VMamba-Tiny)",
        pretrained=("imagenet", "none"),
        find_weights=swin_umamba_weights,
        parameters={1: 59_885_620, 2: 59_886_344, 3: 59_887_068, 4: 59_887_792},
        options={
            "variant": Option(
                type=str,
                default="vmamba-tiny",
                choices=("vmamba-tiny", "pico"),
                help="vmamba-tiny: the published network; pico: a sixth of its widths and one block a stage, "
                "for tests and trials, not published",
            ),
            "drop_path": Option(
                type=float,
                default=0.2,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branch is left out in training",
            ),
        },
        size_multiple=32,
        # At 32 pixels the last stage has a single one, over which nothing can be normalized.
        size_minimum=64,
        # Heads of deep supervision; the authors' counts and checkpoints include them.
        dead_parameters=("heads.1.", "heads.2.", "heads.3."),
        cam_layers=("encoder.stages.3", "finish"),
        departures=(
            Departure(
                what="deep supervision",
                published="losses at four resolutions",
                here="one loss, at the image's; the other heads stay unused",
                because="the protocol has one loss for all models",
            ),
            Departure(
                what="training of the encoder",
                published="frozen in the first 10 epochs; no weight decay of A and D of the scans",
                here="trained from the first epoch on, with the protocol's weight decay",
                because="every model of a study is trained alike",
            ),
        ),
    )


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
        size_multiple=16,
        # At 16 pixels the ResNet's last stage has a single one, over which nothing can be normalized.
        size_minimum=32,
        # Counted by the authors too: the fusion changes its class tokens only, and the decoder drops them.
        dead_parameters=(
            *(f"fusion.{part}." for part in ("class_norms", "blocks", "leave", "attend", "come_back")),
        ),
        cam_layers=("levels.2", "reduce"),
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
                help="side that images are resized to inside the network, a multiple of 32 (224 in the "
                "paper); the protocol's image size if not given",
            ),
        },
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


def u_kan() -> Architecture:
    """U-KAN-L: convolution stages with Kolmogorov-Arnold layers at the bottom."""
    return Architecture(
        name="u-kan",
        family="SMA",
        runner="torch",
        version=1,
        build="bench_sma.u_kan:build",
        title="U-KAN",
        paper="Li et al., AAAI 2025, arXiv:2406.02918",
        license="no public weights",
        parameters={1: 25_359_265, 2: 25_359_298, 3: 25_359_331, 4: 25_359_364},
        options={
            "variant": Option(
                type=str,
                default="l",
                choices=("l", "b", "tiny"),
                help="channels of the three deepest stages: U-KAN-L 256, 320, 512; b 128, 160, 256, the "
                "public code's default; tiny 64, 80, 128, for tests and quick studies, not published",
            )
        },
        size_multiple=32,
        # At 32 the deepest stage has one pixel, over which one image alone cannot be normalized in training.
        size_minimum=64,
        cam_layers=("token_encoder.1", "decoder.2"),
        deviations={"pretrained": Deviation(value="none", because="no ImageNet weights exist for it")},
        departures=(
            Departure(
                what="learning rate of the Kolmogorov-Arnold layers",
                published="the authors train these layers at 1e-2, all others at 1e-4",
                here="one learning rate for all parameters, chosen by the protocol",
                because="the protocol holds the optimizer's parameter groups constant across models",
            ),
        ),
    )
