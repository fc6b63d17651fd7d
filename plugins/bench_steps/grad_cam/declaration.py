"""What the steps `grad-cam` and `fold-maps` declare of themselves."""

from __future__ import annotations

from bench_core import Step
from bench_steps.grad_cam.options import (
    ELSEWHERE,
    OPTIONS,
    parts,
    peers,
    resolve,
    resolve_elsewhere,
    siblings,
)
from bench_steps.grad_cam.suited import suits

TRIES = "bench_steps.grad_cam.layers:tries"

GRAD_CAM = Step(
    name="grad-cam",
    version=1,
    run="bench_steps.grad_cam.step:run",
    follows="bench_steps.grad_cam.follow:follows",
    again="bench_steps.grad_cam.again:again",
    sampled="maps of the images that are drawn; pixels are replaced in an eighth of so many, images moved "
    "and weights shuffled for a quarter, at least one each",
    suits=suits,
    tries=TRIES,
    resolve=resolve,
    parts=parts,
    peers=peers,
    siblings=siblings,
    help="where networks look: class activation maps of test images, in numbers; trains nothing",
    needs="weights",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options=OPTIONS,
)

FOLD_MAPS = Step(
    name="fold-maps",
    version=1,
    run="bench_steps.grad_cam.elsewhere:run",
    follows="bench_steps.grad_cam.follow:follows_elsewhere",
    again="bench_steps.grad_cam.elsewhere:again",
    sampled="maps of the images that are drawn",
    suits=suits,
    tries=TRIES,
    resolve=resolve_elsewhere,
    unseen=True,
    help="whether the networks of all folds look at the same places on another dataset; trains nothing",
    needs="weights",
    dataset="other",
    over="folds",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options=ELSEWHERE,
)
