"""Declares the general-purpose vision models of the study; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, Departure, Deviation, Option, hookimpl
from bench_gpvm.convnext_weights import weights_file as convnext_weights
from bench_gpvm.internimage_weights import weights_file as internimage_weights
from bench_gpvm.mit_weights import weights_file as segformer_weights
from bench_gpvm.mscan_weights import weights_file as segnext_weights
from bench_gpvm.transnext_weights import weights_file as transnext_weights

NVIDIA = "NVIDIA Source Code License (non-commercial)"


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the six architectures; parameters are counted without auxiliary heads."""
    return [segformer(), segnext(), vw_mit(), vw_conv(), internimage(), transnext()]


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
        license=NVIDIA,
        pretrained=("imagenet", "none"),
        find_weights=segformer_weights,
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
        # It computes from 29 pixels on; below 61 its first stage attends to a single key.
        size_minimum=32,
        # Inherited by the authors' decoder from its base class, never used; not in MMSegmentation's.
        dead_parameters=("decode_head.conv_seg.",),
        cam_layers=("decode_head.fuse",),
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
        # It computes from one pixel on; up to 32 its last stage has one pixel, over which one image alone
        # cannot be normalized in training.
        size_minimum=33,
        deviations={
            "precision": Deviation(value="fp32", because="its matrix decomposition overflows in fp16")
        },
        # The decomposition starts from new random bases in every forward pass.
        random_at_inference=True,
        cam_layers=("decode_head.align",),
    )


def vw_mit() -> Architecture:
    """VWFormer's varying-window head of width 512 on MiT-B3."""
    return Architecture(
        name="vw-mit",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.vw:build_vw_mit",
        title="VW-MiT",
        paper="Yan et al., ICLR 2024, arXiv:2404.16573",
        license=NVIDIA,
        pretrained=("imagenet", "none"),
        find_weights=segformer_weights,
        parameters={1: 51_422_273, 2: 51_422_786, 3: 51_423_299, 4: 51_423_812},
        options={
            "variant": Option(
                type=str,
                default="b3",
                choices=("b0", "b1", "b2", "b3", "b4", "b5"),
                help="size of the Mix Transformer; the study's is b3",
            ),
            "decoder_width": Option(
                type=int,
                default=None,
                minimum=64,
                help="channels of the head, a multiple of 64; by default 512, at the smallest variant 64",
            ),
            "nheads": Option(type=int, default=1, minimum=1, help="attention heads in each window"),
            "short_cut": Option(
                type=bool, default=True, help="add what each window attention gets to what it returns"
            ),
            "drop_path": Option(
                type=float,
                default=0.1,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training",
            ),
        },
        size_multiple=64,
        size_minimum=128,
        cam_layers=("backbone.stages.3", "decode_head.refine"),
    )


def vw_conv() -> Architecture:
    """VWFormer's varying-window head of width 512 on ConvNeXt-S."""
    return Architecture(
        name="vw-conv",
        family="GP-VM",
        runner="mmseg",
        version=1,
        build="bench_gpvm.vw:build_vw_conv",
        title="VW-Conv",
        paper="Yan et al., ICLR 2024, arXiv:2404.16573",
        license="MIT",
        pretrained=("imagenet", "none"),
        find_weights=convnext_weights,
        parameters={1: 57_004_321, 2: 57_004_834, 3: 57_005_347, 4: 57_005_860},
        options={
            "variant": Option(
                type=str,
                default="s",
                choices=("atto", "t", "s", "b", "l"),
                help="size of ConvNeXt; the study's is s",
            ),
            "decoder_width": Option(
                type=int,
                default=None,
                minimum=64,
                help="channels of the head, a multiple of 64; by default 512, at the smallest variant 64",
            ),
            "nheads": Option(type=int, default=1, minimum=1, help="attention heads in each window"),
            "short_cut": Option(
                type=bool, default=True, help="add what each window attention gets to what it returns"
            ),
            "drop_path": Option(
                type=float,
                default=0.4,
                minimum=0,
                maximum=0.9,
                help="probability that the last block's branches are left out in training",
            ),
        },
        size_multiple=64,
        size_minimum=128,
        cam_layers=("backbone.stages.3", "decode_head.refine"),
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
        # It computes from one pixel on; below 32 its last stage, too, has one, whatever the image's size.
        size_minimum=32,
        cam_layers=("backbone.stages.3", "decode_head.fuse"),
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
        # The first three stages pool patches of 32 pixels; at 32 the last has one token, attending to itself.
        size_multiple=32,
        size_minimum=32,
        cam_layers=("backbone.stages.3", "decode_head.fuse"),
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
