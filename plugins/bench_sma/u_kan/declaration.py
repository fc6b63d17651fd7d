"""U-KAN's declaration: convolution stages with Kolmogorov-Arnold layers at the bottom."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Layers
from bench_sma.options import variant

U_KAN = Architecture(
    name="u-kan",
    family="SMA",
    runner="torch",
    version=1,
    build="bench_sma.u_kan.network:build",
    title="U-KAN",
    paper="Li et al., AAAI 2025, arXiv:2406.02918",
    year=2025,
    license="no public weights",
    parameters={1: 25_359_265, 2: 25_359_298, 3: 25_359_331, 4: 25_359_364},
    options={
        "variant": variant(
            "l",
            ("l", "b", "tiny"),
            "channels of the three deepest stages: U-KAN-L 256, 320, 512; b 128, 160, 256, the "
            "public code's default; tiny 64, 80, 128, for tests and quick studies, not published",
        )
    },
    small={"variant": "tiny"},
    size_multiple=32,
    # At 32 the deepest stage has one pixel, over which one image alone cannot be normalized in training.
    size_minimum=64,
    encoder=("encoder", "token_encoder"),
    explained=Layers(
        encoder=("encoder.0", "encoder.1", "encoder.2", "token_encoder.0", "token_encoder.1"),
        decoder="decoder.1",
    ),
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
