"""The specialized medical architectures of the study, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Option
from bench_sma.declared_transformers import hiformer, missformer
from bench_sma.earlier import swin_unet, transunet
from bench_sma.swin_umamba.weights import weights_file as swin_umamba_weights
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
        year=2015,
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
        small={"width": 4},
        deviations={
            "pretrained": Deviation(
                value="none",
                because="no ImageNet weights exist for the whole of its encoder; those of VGG13-BN "
                "(`pretrained: vgg13_bn`) fit four of its five stages",
            )
        },
        quirks=(
            "Its convolutions are padded and batch-normalized and its images never cropped, unlike the "
            "paper's: the network is that of the widely used implementation.",
        ),
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
        year=2024,
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
        small={"variant": "pico"},
        size_multiple=32,
        # At 32 pixels the last stage has a single one, over which nothing can be normalized.
        size_minimum=64,
        # Heads of deep supervision; the authors' counts and checkpoints include them.
        dead_parameters=("heads.1.", "heads.2.", "heads.3."),
        cam_layers=("encoder.stages.3", "finish"),
        quirks=(
            "Of the patches' normalization the bias comes from the ImageNet file and the weight does not, "
            "since the authors' list of tensors to leave out names one of the two twice.",
        ),
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
        year=2025,
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
        small={"variant": "tiny"},
        size_multiple=32,
        # At 32 the deepest stage has one pixel, over which one image alone cannot be normalized in training.
        size_minimum=64,
        cam_layers=("token_encoder.1", "decoder.2"),
        deviations={"pretrained": Deviation(value="none", because="no ImageNet weights exist for it")},
        quirks=(
            "The grid of knots is never adapted, and inputs beyond -2.2 and 2.2 get the layers' plain "
            "path alone.",
        ),
        departures=(
            Departure(
                what="learning rate of the Kolmogorov-Arnold layers",
                published="the authors train these layers at 1e-2, all others at 1e-4",
                here="one learning rate for all parameters, chosen by the protocol",
                because="the protocol holds the optimizer's parameter groups constant across models",
            ),
        ),
    )
