"""InternImage's declaration: InternImage-T with UPerNet."""

from __future__ import annotations

from bench_core import Architecture, Layers
from bench_gpvm.departures import AUXILIARY_HEAD, optimization
from bench_gpvm.internimage.weights import weights
from bench_gpvm.options import decoder_width, drop_path, variant

INTERNIMAGE = Architecture(
    name="internimage",
    family="GP-VM",
    runner="mmseg",
    version=1,
    build="bench_gpvm.internimage.network:build",
    title="InternImage",
    paper="Wang et al., CVPR 2023, arXiv:2211.05778",
    year=2023,
    license="MIT",
    pretrained=("imagenet", "none"),
    weights=weights,
    parameters={1: 58_371_825, 2: 58_372_338, 3: 58_372_851, 4: 58_373_364},
    options={
        "variant": variant(
            "t",
            ("t", "micro"),
            "size of the network: t as published, or micro, with a quarter of the channels and five "
            "blocks, for tests and quick studies, not published",
        ),
        "decoder_width": decoder_width("UPerNet", "the variant's if not given: 512 for t, 32 for micro"),
        "drop_path": drop_path(0.2),
    },
    small={"variant": "micro"},
    # It computes from one pixel on; below 32 its last stage, too, has one, whatever the image's size.
    size_minimum=32,
    batch_minimum=2,
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("backbone.stages.0", "backbone.stages.1", "backbone.stages.2", "backbone.stages.3"),
        decoder="decode_head.smooth.0",
    ),
    quirks=(
        "The sampled points run down the columns of their 3x3 grid, and their unmoved coordinates "
        "have single precision's digits in double precision, too.",
        "UPerNet's coarsest pooling is normalized over the batch alone, so that training needs "
        "batches of two or more images.",
    ),
    departures=(
        AUXILIARY_HEAD,
        optimization("weight decay 0.05, none of one-dimensional parameters"),
    ),
)
