"""SegFormer, SegNeXt, InternImage and TransNeXt, as declarations; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Option
from bench_gpvm.internimage_weights import weights_file as internimage_weights
from bench_gpvm.mit_weights import NVIDIA_LICENSE
from bench_gpvm.mit_weights import weights_file as mit_weights
from bench_gpvm.mscan_weights import weights_file as segnext_weights
from bench_gpvm.transnext_weights import weights_file as transnext_weights


def segformer() -> Architecture:
    """SegFormer: MiT-B3 with the all-MLP decoder of width 768."""
    return Architecture(
        name="segformer",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.segformer:build",
        title="SegFormer",
        paper="Xie et al., NeurIPS 2021, arXiv:2105.15203",
        year=2021,
        license=NVIDIA_LICENSE,
        pretrained=("imagenet", "none"),
        find_weights=mit_weights,
        parameters={1: 47_226_305, 2: 47_227_074, 3: 47_227_843, 4: 47_228_612},
        options={
            "variant": Option(
                type=str,
                default="b3",
                choices=("b0", "b1", "b2", "b3", "b4", "b5"),
                help="size of the Mix Transformer",
            ),
            "head": Option(
                type=str,
                default="mmseg",
                choices=("mmseg", "nvlabs"),
                help="decoder of MMSegmentation (normalized, rectified projections) or of the authors' code "
                "(linear projections, stages in the opposite order)",
            ),
            "decoder_width": Option(
                type=int,
                default=None,
                minimum=1,
                help="channels of the decoder; the paper's if not given: 256 for b0 and b1, otherwise 768",
            ),
            "drop_path": Option(
                type=float,
                default=0.1,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training",
            ),
        },
        small={"variant": "b0", "decoder_width": 32},
        # It computes from 29 pixels on; below 61 its first stage attends to a single key.
        size_minimum=32,
        # Inherited by the authors' decoder from its base class, never used; not in MMSegmentation's.
        dead_parameters=("decode_head.conv_seg.",),
        cam_layers=("decode_head.fuse",),
        quirks=(
            "The authors' decoder (`head: nvlabs`) has a layer that nothing uses, which the published "
            "counts include.",
            "The normalizations have the epsilons of the code base that `head` names: 1e-6 everywhere, or "
            "1e-5 around the patches.",
        ),
    )


def segnext() -> Architecture:
    """SegNeXt: MSCAN-L with the light Hamburger head of width 1024."""
    return Architecture(
        name="segnext",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.segnext:build",
        title="SegNeXt",
        paper="Guo et al., NeurIPS 2022, arXiv:2209.08575",
        year=2022,
        license="Apache-2.0",
        pretrained=("imagenet", "none"),
        find_weights=segnext_weights,
        parameters={1: 48_773_825, 2: 48_774_850, 3: 48_775_875, 4: 48_776_900},
        options={
            "variant": Option(
                type=str,
                default="l",
                choices=("t", "s", "b", "l"),
                help="size of MSCAN; its decoder has 256, 256, 512 or 1024 channels",
            ),
            "md_r": Option(
                type=int,
                default=64,
                minimum=1,
                help="rank of the decoder's matrix decomposition; 64 in the authors' code, 16 in "
                "MMSegmentation's configs",
            ),
            "drop_path": Option(
                type=float,
                default=None,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training; the authors' if "
                "not given: 0.3 for l, otherwise 0.1",
            ),
        },
        small={"variant": "t"},
        # It computes from one pixel on; up to 32 its last stage has one pixel, over which one image alone
        # cannot be normalized in training.
        size_minimum=33,
        deviations={
            "precision": Deviation(value="fp32", because="its matrix decomposition overflows in fp16")
        },
        # The decomposition starts from new random bases in every forward pass.
        random_at_inference=True,
        cam_layers=("decode_head.align",),
        quirks=(
            "The decoder factorizes its features from new random bases in every forward pass, in "
            "evaluation too.",
            "The rank of that factorization is that of the authors' code, not of MMSegmentation's configs "
            "(option `md_r`).",
        ),
    )


def internimage() -> Architecture:
    """InternImage-T with UPerNet of width 512."""
    return Architecture(
        name="internimage",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.internimage:build",
        title="InternImage",
        paper="Wang et al., CVPR 2023, arXiv:2211.05778",
        year=2023,
        license="MIT",
        pretrained=("imagenet", "none"),
        find_weights=internimage_weights,
        parameters={1: 58_371_825, 2: 58_372_338, 3: 58_372_851, 4: 58_373_364},
        options={
            "variant": Option(
                type=str,
                default="t",
                choices=("t", "micro"),
                help="size of the network: t as published, or micro, with a quarter of the channels and five "
                "blocks, for tests and quick studies, not published",
            ),
            "decoder_width": Option(
                type=int,
                default=None,
                minimum=1,
                help="channels of UPerNet; the variant's if not given: 512 for t, 32 for micro",
            ),
            "drop_path": Option(
                type=float,
                default=0.2,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training",
            ),
        },
        small={"variant": "micro"},
        # It computes from one pixel on; below 32 its last stage, too, has one, whatever the image's size.
        size_minimum=32,
        cam_layers=("backbone.stages.3", "decode_head.fuse"),
        quirks=(
            "The sampled points run down the columns of their 3x3 grid, and their unmoved coordinates "
            "have single precision's digits in double precision, too.",
            "UPerNet's coarsest pooling is normalized over the batch alone, so that training needs "
            "batches of two or more images.",
        ),
        departures=(
            Departure(
                what="auxiliary head",
                published="a second head on the third stage takes part in training, with weight 0.4",
                here="none",
                because="the protocol trains all models by one loss of their one output; the study's "
                "parameter counts have no such head either",
            ),
        ),
    )


def transnext() -> Architecture:
    """TransNeXt-Tiny with UPerNet of width 512."""
    return Architecture(
        name="transnext",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.transnext:build",
        title="TransNeXt",
        paper="Shi, CVPR 2024, arXiv:2311.17132",
        year=2024,
        license="Apache-2.0",
        pretrained=("imagenet", "none"),
        find_weights=transnext_weights,
        parameters={1: 57_738_921, 2: 57_739_434, 3: 57_739_947, 4: 57_740_460},
        options={
            "variant": Option(
                type=str,
                default="tiny",
                choices=("pico", "micro", "tiny", "small", "base"),
                help="size of the backbone: the authors' micro to base, or pico, with a third of tiny's "
                "channels and five blocks, for tests and quick studies, not published",
            ),
            "decoder_width": Option(
                type=int,
                default=None,
                minimum=1,
                help="channels of UPerNet; the variant's if not given: 32 for pico, otherwise 512",
            ),
            "drop_path": Option(
                type=float,
                default=None,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training; the variant's if "
                "not given: 0.4 for tiny",
            ),
        },
        small={"variant": "pico"},
        # The first three stages pool patches of 32 pixels; at 32 the last has one token, attending to itself.
        size_multiple=32,
        size_minimum=32,
        cam_layers=("backbone.stages.3", "decode_head.fuse"),
        quirks=(
            "The position biases come from logarithms in single precision, in double precision, too.",
            "UPerNet's coarsest pooling is normalized over the batch alone, so that training needs "
            "batches of two or more images.",
        ),
        departures=(
            Departure(
                what="auxiliary head",
                published="a second head on the third stage takes part in training, with weight 0.4",
                here="none",
                because="the protocol trains all models by one loss of their one output; the study's "
                "parameter counts have no such head either",
            ),
        ),
    )
