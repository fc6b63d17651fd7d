"""The specialized medical architectures of the study, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Option

NOT_BUILT = "declared; its builder is not part of this version"


def architectures() -> list[Architecture]:
    """Return the five architectures."""
    return [u_net(), swin_umamba(), hiformer(), missformer(), u_kan()]


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
        license="no public weights",
        parameters={1: 31_037_633, 3: 31_037_763, 4: 31_037_828},
        size_minimum=16,
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
        unavailable=NOT_BUILT,
        title="Swin-UMamba",
        paper="Liu et al., MICCAI 2024, arXiv:2402.03302",
        license="MIT (VMamba-Tiny)",
        pretrained=("imagenet", "none"),
        parameters={1: 59_885_620, 3: 59_887_068, 4: 59_887_792},
        size_multiple=32,
        size_minimum=64,
        # Heads of deep supervision, which the protocol's one loss does not use.
        dead_parameters=("out_layers.1.", "out_layers.2.", "out_layers.3."),
    )


def hiformer() -> Architecture:
    """HiFormer-B: ResNet-50 and Swin-Tiny stages fused by cross attention."""
    return Architecture(
        name="hiformer",
        family="SMA",
        runner="torch",
        version=1,
        unavailable=NOT_BUILT,
        title="HiFormer",
        paper="Heidari et al., WACV 2023, arXiv:2207.08518",
        license="BSD-3-Clause (ResNet-50), MIT (Swin-Tiny)",
        pretrained=("imagenet", "none"),
        parameters={1: 25_510_955, 3: 25_511_245, 4: 25_511_390},
        size_multiple=16,
        size_minimum=112,
        # The fusion module changes its class tokens only, and the decoder drops them.
        dead_parameters=("All2Cross.blocks.", "All2Cross.pyramid.norm_1.", "All2Cross.pyramid.norm_2."),
    )


def missformer() -> Architecture:
    """MISSFormer: a MiT-B1-like encoder, a four-layer bridge and a mirrored decoder."""
    ffn = [
        *(f"backbone.block{stage}.{block}.mlp" for stage in (1, 2, 3, 4) for block in (0, 1)),
        *(f"bridge.bridge_layer{layer}.mixffn{scale}" for layer in (1, 2, 3, 4) for scale in (1, 2, 3, 4)),
        *(f"decoder_{level}.layer_former_{block}.mlp" for level in (0, 1, 2) for block in (1, 2)),
    ]
    return Architecture(
        name="missformer",
        family="SMA",
        runner="torch",
        version=1,
        unavailable=NOT_BUILT,
        title="MISSFormer",
        paper="Huang et al., arXiv:2109.07162",
        license="NVIDIA Source Code License (non-commercial) (MiT-B1)",
        pretrained=("imagenet", "none"),
        parameters={1: 42_462_017, 3: 42_462_147, 4: 42_462_212},
        size_multiple=32,
        size_minimum=64,
        # The deepest decoder level expands only; two of three norms of each feed-forward are never called.
        dead_parameters=(
            "decoder_3.concat_linear.",
            "decoder_3.layer_former_1.",
            "decoder_3.layer_former_2.",
            *(f"{path}.norm{index}." for path in ffn for index in (2, 3)),
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
