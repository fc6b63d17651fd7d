"""What this package declares."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bench_core import Option, Step, hookimpl
from bench_steps import views
from bench_steps.chosen_metrics import resolve
from bench_steps.class_maps import fits
from bench_steps.corruption.command import command
from bench_steps.corruption.declaration import CORRUPTION
from bench_steps.cost.declaration import COST
from bench_steps.grad_cam.declaration import FOLD_MAPS, GRAD_CAM

MEASURE = Step(
    name="measure",
    version=1,
    run="bench_steps.measure:run",
    follows="bench_steps.follow:measured",
    again="bench_steps.measure:run",
    resolve=resolve,
    help="metrics of label maps (HD95, ASSD, NSD) for every test image and class; trains nothing",
    needs="predictions",
    options={
        "metrics": Option(
            type=list, default=["hd95", "nsd"], names="metric", help="Metrics of label maps to measure."
        ),
        "tolerance": Option(
            type=float,
            default=None,
            minimum=0.0,
            help="For the metrics that have one; in mm where the spacing is known, else in pixels.",
        ),
        "settings": Option(type=dict, default={}, help="Options of single metrics: {NAME: {OPTION: value}}."),
    },
)

NATIVE = Step(
    name="native",
    version=1,
    run="bench_steps.native:run",
    follows="bench_steps.follow:native",
    again="bench_steps.native:again",
    help="pixel counts at each image's original size: logits resized to it, padding cut off",
    needs="weights",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
)


ELSEWHERE = {
    "map": Option(
        type=dict,
        default={},
        help="What each class of the networks is there: {CLASS: class, OTHER: background}; without it "
        "equal names, or the only class of both.",
    ),
    "unreached": Option(
        type=str,
        default="refuse",
        choices=("refuse", "leave-out"),
        help="Classes there that no class is mapped to: refused, or left out of the scores.",
    ),
    "overlap": Option(
        type=str,
        default="refuse",
        choices=("refuse", "drop"),
        help="Images there that are copies of training images: refused, or left out of the scores.",
    ),
}
"""Options of steps on another dataset."""

TRANSFER = Step(
    name="transfer",
    version=1,
    run="bench_steps.transfer:run",
    follows="bench_steps.follow:transferred",
    again="bench_steps.transfer:again",
    fits=fits,
    unseen=True,
    help="finished networks on all images of another dataset, in its classes; trains nothing",
    needs="weights",
    dataset="other",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options=ELSEWHERE,
)

ENSEMBLE = Step(
    name="ensemble",
    version=1,
    run="bench_steps.ensemble:run",
    follows="bench_steps.follow:voted",
    again="bench_steps.ensemble:again",
    fits=fits,
    resolve=views.resolve,
    unseen=True,
    help="a soft vote of all folds of a model on another dataset, also over mirrored images; trains nothing",
    needs="weights",
    dataset="other",
    over="folds",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options={
        **ELSEWHERE,
        "flips": Option(
            type=list,
            default=[],
            choices=("horizontal", "vertical", "both"),
            help="Mirrored images that vote as well, beside the image as it is.",
        ),
    },
)


@hookimpl
def bench_steps() -> Sequence[Step]:
    """Return the steps in the order in which `bench list steps` has them."""
    return (MEASURE, NATIVE, TRANSFER, ENSEMBLE, CORRUPTION, COST, GRAD_CAM, FOLD_MAPS)


@hookimpl
def bench_commands() -> Sequence[click.Command]:
    """Return `bench corruptions`, which draws them on one's own images."""
    return (command,)
