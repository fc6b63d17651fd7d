"""The properties that an architecture is tried for, in order, and the verdict on each."""

from __future__ import annotations

import torch

from bench_core.conformance import model_checks as checks
from bench_core.conformance import properties
from bench_core.conformance.candidate import Candidate
from bench_core.conformance.limit_checks import size_limits
from bench_core.conformance.properties import Finding, Property

__all__ = ["PROPERTIES", "Candidate", "Finding", "Property", "judge", "use_threads"]

_SHAPE = "return logits [B, K, H, W] at the images' resolution, for the request's channels and classes"

PROPERTIES: tuple[Property[Candidate], ...] = (
    Property("shapes: gray, 1 logit channel", checks.shapes(1, 1), _SHAPE),
    Property("shapes: gray, 3 logit channels", checks.shapes(1, 3), _SHAPE),
    Property("shapes: RGB, 1 logit channel", checks.shapes(3, 1), _SHAPE),
    Property("shapes: RGB, 2 logit channels", checks.shapes(3, 2), _SHAPE),
    Property("shapes: RGB, 4 logit channels", checks.shapes(3, 4), _SHAPE),
    Property(
        "size limits are enforced",
        size_limits,
        "declare size_multiple and size_minimum as the network has them",
    ),
    Property(
        "gradients reach every parameter",
        checks.gradients,
        "remove the layer, or declare it in dead_parameters",
    ),
    Property(
        "evaluation is deterministic",
        checks.deterministic,
        "draw nothing in evaluation, or declare random_at_inference",
    ),
    Property(
        "evaluation is independent of the batch",
        checks.independent_of_batch,
        "compute each image alone in evaluation",
    ),
    Property(
        "equal seeds build equal networks",
        checks.seeded_build,
        "draw weights from torch's global generator",
    ),
    Property(
        "saved weights come back",
        checks.saved_weights,
        "register everything that counts as a parameter or buffer",
    ),
    Property(
        "copies and pickles compute the same",
        checks.copies,
        "keep no lambdas or local functions in modules",
    ),
    Property(
        "declared parameter counts are true", checks.parameter_counts, "declare the number that is there"
    ),
    Property("bf16 is finite", checks.half_precision(torch.bfloat16), "keep values within bf16"),
    Property("fp16 is finite", checks.half_precision(torch.float16), "keep values below 65504"),
    Property(
        "channels-last computes the same", checks.channels_last, "use reshape, not view, across channels"
    ),
    Property(
        "declared layers give maps",
        checks.class_activation,
        "declare layers that return one tensor before the last nonlinear step",
    ),
    Property("the loss falls", checks.learns, "see whether gradients flow and logits are free to grow"),
    Property(
        "weights are loaded strictly",
        checks.strict_weights,
        "load with bench_core.weights.load.load_strictly",
    ),
)
"""All that is checked, cheap reasons to fail first."""


def use_threads(count: int) -> None:
    """Compute with this many CPU threads from now on."""
    torch.set_num_threads(count)


def judge(item: Property[Candidate], candidate: Candidate) -> Finding:
    """Try one property; whatever the network raises is a finding, and random states are left as they were."""
    with torch.random.fork_rng(devices=[]):
        return properties.judge(item, candidate)
