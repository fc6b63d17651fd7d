"""SegNeXt's declaration: MSCAN with the light Hamburger head."""

from __future__ import annotations

from bench_core import Architecture, Deviation, Layers, Option
from bench_gpvm.departures import optimization
from bench_gpvm.options import drop_path, variant
from bench_gpvm.segnext.weights import weights

SEGNEXT = Architecture(
    name="segnext",
    family="GP-VM",
    runner="mmseg",
    version=1,
    build="bench_gpvm.segnext.network:build",
    title="SegNeXt",
    paper="Guo et al., NeurIPS 2022, arXiv:2209.08575",
    year=2022,
    license="Apache-2.0",
    pretrained=("imagenet", "none"),
    weights=weights,
    parameters={1: 48_773_825, 2: 48_774_850, 3: 48_775_875, 4: 48_776_900},
    options={
        "variant": variant(
            "l", ("t", "s", "b", "l"), "size of MSCAN; its decoder has 256, 256, 512 or 1024 channels"
        ),
        "md_r": Option(
            type=int,
            default=64,
            minimum=1,
            help="rank of the decoder's matrix decomposition; 64 in the authors' code, 16 in "
            "MMSegmentation's configs",
        ),
        "drop_path": drop_path(None, "the authors' if not given: 0.3 for l, otherwise 0.1"),
    },
    small={"variant": "t"},
    # It computes from one pixel on; up to 32 its last stage has one pixel, over which one image alone
    # cannot be normalized in training.
    size_minimum=33,
    deviations={"precision": Deviation(value="fp32", because="its matrix decomposition overflows in fp16")},
    # The decomposition starts from new random bases in every forward pass.
    random_at_inference=True,
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("backbone.stages.0", "backbone.stages.1", "backbone.stages.2", "backbone.stages.3"),
        decoder="decode_head.hamburger",
    ),
    quirks=(
        "The decoder factorizes its features from new random bases in every forward pass, in evaluation too.",
        "The rank of that factorization is that of the authors' code, not of MMSegmentation's configs "
        "(option `md_r`).",
    ),
    departures=(
        optimization("the head at ten times the backbone's learning rate, no weight decay of normalizations"),
    ),
)
