"""VW-MiT's and VW-Conv's declarations: VWFormer's varying-window head on two backbones."""

from __future__ import annotations

from bench_core import Architecture, Layers, Option
from bench_gpvm import mit_weights
from bench_gpvm.departures import optimization
from bench_gpvm.options import decoder_width, drop_path, variant
from bench_gpvm.vw import convnext_weights

VW_MIT = Architecture(
    name="vw-mit",
    family="GP-VM",
    runner="mmseg",
    version=1,
    build="bench_gpvm.vw.network:build_vw_mit",
    title="VW-MiT",
    paper="Yan et al., ICLR 2024, arXiv:2404.16573",
    year=2024,
    license=mit_weights.NVIDIA_LICENSE,
    pretrained=("imagenet", "none"),
    weights=mit_weights.weights,
    parameters={1: 51_422_273, 2: 51_422_786, 3: 51_423_299, 4: 51_423_812},
    options={
        "variant": variant(
            "b3", ("b0", "b1", "b2", "b3", "b4", "b5"), "size of the Mix Transformer; the study's is b3"
        ),
        "decoder_width": decoder_width("the head", "by default 512, at the smallest variant 64", multiple=64),
        "nheads": Option(type=int, default=1, minimum=1, help="attention heads in each window"),
        "short_cut": Option(
            type=bool, default=True, help="add what each window attention gets to what it returns"
        ),
        "drop_path": drop_path(0.1),
    },
    small={"variant": "b0"},
    size_multiple=64,
    size_minimum=128,
    batch_minimum=2,
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=("backbone.stages.0", "backbone.stages.1", "backbone.stages.2", "backbone.stages.3"),
        decoder="decode_head.merge",
    ),
    quirks=(
        "No configuration with a Mix Transformer was published: its head is the one for the other "
        "backbones, with one attention head and each window's own features added (options `nheads`, "
        "`short_cut`).",
        "The global average is normalized over the batch alone, so that training needs batches of two "
        "or more images.",
    ),
    departures=(
        optimization(
            "no recipe for a Mix Transformer; for ConvNeXt weight decay 0.05 and a learning rate that falls "
            "by 0.9 from stage to stage"
        ),
    ),
)

VW_CONV = Architecture(
    name="vw-conv",
    family="GP-VM",
    runner="mmseg",
    version=2,
    build="bench_gpvm.vw.network:build_vw_conv",
    title="VW-Conv",
    paper="Yan et al., ICLR 2024, arXiv:2404.16573",
    year=2024,
    license="MIT",
    pretrained=("imagenet", "none"),
    weights=convnext_weights.weights,
    parameters={1: 57_004_321, 2: 57_004_834, 3: 57_005_347, 4: 57_005_860},
    options={
        "variant": variant("s", ("atto", "t", "s", "b", "l"), "size of ConvNeXt; the study's is s"),
        "decoder_width": decoder_width("the head", "by default 512, at the smallest variant 64", multiple=64),
        "nheads": Option(type=int, default=1, minimum=1, help="attention heads in each window"),
        "short_cut": Option(
            type=bool, default=True, help="add what each window attention gets to what it returns"
        ),
        "drop_path": drop_path(0.4),
    },
    small={"variant": "atto"},
    size_multiple=64,
    size_minimum=128,
    batch_minimum=2,
    encoder=tuple(f"backbone.stages.{stage}" for stage in range(4)),
    explained=Layers(
        encoder=(
            "backbone.stages.0.output_norm",
            "backbone.stages.1.output_norm",
            "backbone.stages.2.output_norm",
            "backbone.stages.3.output_norm",
        ),
        decoder="decode_head.merge",
    ),
    quirks=(
        "The published configurations differ in attention heads and in whether each window's own "
        "features are added; here it is one head, added (options `nheads`, `short_cut`).",
        "The global average is normalized over the batch alone, so that training needs batches of two "
        "or more images.",
    ),
    departures=(optimization("weight decay 0.05, a learning rate that falls by 0.9 from stage to stage"),),
)
