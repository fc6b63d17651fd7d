"""SegFormer's declaration: a Mix Transformer with an all-MLP decoder."""

from __future__ import annotations

from bench_core import Architecture, Layers, Option
from bench_gpvm.departures import optimization
from bench_gpvm.mit_weights import NVIDIA_LICENSE, weights
from bench_gpvm.options import decoder_width, drop_path, variant

SEGFORMER = Architecture(
    name="segformer",
    family="GP-VM",
    runner="mmseg",
    version=2,
    build="bench_gpvm.segformer.network:build",
    title="SegFormer",
    paper="Xie et al., NeurIPS 2021, arXiv:2105.15203",
    year=2021,
    license=NVIDIA_LICENSE,
    pretrained=("imagenet", "none"),
    weights=weights,
    parameters={1: 47_226_305, 2: 47_227_074, 3: 47_227_843, 4: 47_228_612},
    options={
        "variant": variant("b3", ("b0", "b1", "b2", "b3", "b4", "b5"), "size of the Mix Transformer"),
        "head": Option(
            type=str,
            default="mmseg",
            choices=("mmseg", "nvlabs"),
            help="decoder of MMSegmentation (normalized, rectified projections) or of the authors' code "
            "(linear projections, stages in the opposite order)",
        ),
        "decoder_width": decoder_width(
            "the decoder", "the paper's if not given: 256 for b0 and b1, otherwise 768"
        ),
        "drop_path": drop_path(0.1),
    },
    small={"variant": "b0", "decoder_width": 32},
    # It computes from 29 pixels on; below 61 its first stage attends to a single key.
    size_minimum=32,
    # Inherited by the authors' decoder from its base class, never used; not in MMSegmentation's.
    dead_parameters=("decode_head.conv_seg.",),
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("backbone.stages.0", "backbone.stages.1", "backbone.stages.2", "backbone.stages.3"),
        decoder="decode_head.projections.0",
    ),
    quirks=(
        "The authors' decoder (`head: nvlabs`) has a layer that nothing uses, which the published "
        "counts include.",
        "The normalizations have the epsilons of the code base that `head` names, 1e-6 everywhere, or "
        "1e-5 around the patches, and so are initial weights drawn where none are loaded.",
    ),
    departures=(
        optimization("the head at ten times the backbone's learning rate, no weight decay of normalizations"),
    ),
)
