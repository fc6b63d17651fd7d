"""What the step `grad-cam` declares of itself."""

from __future__ import annotations

from bench_core import Step
from bench_steps.grad_cam.options import OPTIONS, parts, peers, resolve

GRAD_CAM = Step(
    name="grad-cam",
    version=1,
    run="bench_steps.grad_cam.step:run",
    follows="bench_steps.grad_cam.follow:follows",
    again="bench_steps.grad_cam.again:again",
    resolve=resolve,
    parts=parts,
    peers=peers,
    help="where networks look: class activation maps of test images, in numbers; trains nothing",
    needs="weights",
    requires=("torch",),
    install="pip install 'segtrial[torch]'",
    options=OPTIONS,
)
