"""MISSFormer's declaration: a MiT-B1-like encoder, a four-layer bridge and a mirrored decoder."""

from __future__ import annotations

from bench_core import Architecture, Departure, Layers
from bench_sma.departures import optimizer
from bench_sma.missformer.weights import weights
from bench_sma.options import inner_size, variant

_FEED_FORWARDS = (
    *(f"encoder.stages.{stage}.blocks.{block}.feed_forward" for stage in range(4) for block in (0, 1)),
    *(f"bridge.layers.{layer}.feed_forwards.{scale}" for layer in range(4) for scale in range(4)),
    *(f"decoder.{level}.blocks.{block}.feed_forward" for level in range(3) for block in (0, 1)),
)
MISSFORMER = Architecture(
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
    weights=weights,
    parameters={1: 42_462_017, 2: 42_462_082, 3: 42_462_147, 4: 42_462_212},
    options={
        "variant": variant(
            "b1",
            ("b1", "tiny"),
            "b1: the published network; tiny: an eighth of its widths and half of its encoder's "
            "blocks, for tests and trials, not published",
        ),
        "inner_size": inner_size(32),
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
        *(f"{path}.unused_norms." for path in _FEED_FORWARDS),
    ),
    encoder=tuple(f"encoder.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("encoder.stages.0", "encoder.stages.1", "encoder.stages.2", "encoder.stages.3"),
        decoder="decoder.1",
    ),
    quirks=(
        "Of the deepest decoder level only the expansion is used, and of each feed-forward network's "
        "three normalizations one: 7.0 of 42.5 million parameters do nothing.",
        "The bridge takes groups of channels of its reduced maps for tokens, which does not undo how "
        "it cuts pixels into tokens elsewhere.",
    ),
    departures=(
        optimizer("stochastic gradient descent with momentum 0.9"),
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
