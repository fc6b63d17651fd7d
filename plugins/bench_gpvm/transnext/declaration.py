"""TransNeXt's declaration: TransNeXt-Tiny with UPerNet."""

from __future__ import annotations

from bench_core import Architecture, Layers
from bench_gpvm.departures import AUXILIARY_HEAD, optimization
from bench_gpvm.options import decoder_width, drop_path, variant
from bench_gpvm.transnext.weights import weights

TRANSNEXT = Architecture(
    name="transnext",
    family="GP-VM",
    runner="mmseg",
    version=2,
    build="bench_gpvm.transnext.network:build",
    title="TransNeXt",
    paper="Shi, CVPR 2024, arXiv:2311.17132",
    year=2024,
    license="Apache-2.0",
    pretrained=("imagenet", "none"),
    weights=weights,
    parameters={1: 57_738_921, 2: 57_739_434, 3: 57_739_947, 4: 57_740_460},
    options={
        "variant": variant(
            "tiny",
            ("pico", "micro", "tiny", "small", "base"),
            "size of the backbone: the authors' micro to base, or pico, with a third of tiny's "
            "channels and five blocks, for tests and quick studies, not published",
        ),
        "decoder_width": decoder_width("UPerNet", "the variant's if not given: 32 for pico, otherwise 512"),
        "drop_path": drop_path(
            None, "the authors' with UPerNet if not given: 0.4 for tiny, 0.6 for small, 0.7 for base"
        ),
    },
    small={"variant": "pico"},
    # The first three stages pool patches of 32 pixels; at 32 the last has one token, attending to itself.
    size_multiple=32,
    size_minimum=32,
    batch_minimum=2,
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("backbone.stages.0", "backbone.stages.1", "backbone.stages.2", "backbone.stages.3"),
        decoder="decode_head.smooth.0",
    ),
    quirks=(
        "The position biases come from logarithms in single precision, in double precision, too.",
        "UPerNet's coarsest pooling is normalized over the batch alone, so that training needs "
        "batches of two or more images.",
    ),
    departures=(
        AUXILIARY_HEAD,
        optimization("weight decay 0.05, none of query embeddings, temperatures and position biases"),
    ),
)
