"""U-Net's declaration: widths 64 to 1024 and transposed convolutions."""

from __future__ import annotations

from bench_core import Architecture, Deviation, Layers, Option
from bench_sma.u_net.weights import weights

U_NET = Architecture(
    name="u-net",
    family="SMA",
    runner="torch",
    version=1,
    build="bench_sma.u_net.network:build",
    title="U-Net",
    paper="Ronneberger et al., MICCAI 2015, arXiv:1505.04597",
    year=2015,
    license="not known (VGG13-BN)",
    pretrained=("none", "vgg13_bn"),
    weights=weights,
    parameters={1: 31_037_633, 2: 31_037_698, 3: 31_037_763, 4: 31_037_828},
    size_minimum=16,
    encoder=tuple(f"encoder.{level}" for level in range(5)),
    explained=Layers(
        encoder=("encoder.0", "encoder.1", "encoder.2", "encoder.3", "encoder.4"), decoder="decoder.3"
    ),
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
