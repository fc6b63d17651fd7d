"""The properties that an architecture is tried for, in order, and the verdict on each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from bench_core.conformance import model_checks as checks
from bench_core.conformance.candidate import Candidate
from bench_core.conformance.limit_checks import size_limits
from bench_core.errors import BenchError

__all__ = ["PROPERTIES", "Candidate", "Finding", "Property", "judge", "use_threads"]

State = Literal["ok", "wrong", "skipped"]


@dataclass(frozen=True)
class Property:
    """One line of the table."""

    name: str
    check: Callable[[Candidate], None]


@dataclass(frozen=True)
class Finding:
    """What was found of one property."""

    name: str
    state: State
    note: str = ""
    """What is wrong, or why it was skipped."""
    seconds: float = 0.0


PROPERTIES = (
    Property("shapes: gray, 1 logit channel", checks.shapes(1, 1)),
    Property("shapes: gray, 3 logit channels", checks.shapes(1, 3)),
    Property("shapes: RGB, 1 logit channel", checks.shapes(3, 1)),
    Property("shapes: RGB, 2 logit channels", checks.shapes(3, 2)),
    Property("shapes: RGB, 4 logit channels", checks.shapes(3, 4)),
    Property("size limits are enforced", size_limits),
    Property("gradients reach every parameter", checks.gradients),
    Property("evaluation is deterministic", checks.deterministic),
    Property("evaluation is independent of the batch", checks.independent_of_batch),
    Property("equal seeds build equal networks", checks.seeded_build),
    Property("saved weights come back", checks.saved_weights),
    Property("copies and pickles compute the same", checks.copies),
    Property("declared parameter counts are true", checks.parameter_counts),
    Property("bf16 is finite", checks.half_precision(torch.bfloat16)),
    Property("fp16 is finite", checks.half_precision(torch.float16)),
    Property("channels-last computes the same", checks.channels_last),
    Property("CAM layers give maps", checks.class_activation),
    Property("the loss falls", checks.learns),
    Property("weights are loaded strictly", checks.strict_weights),
)
"""All that is checked, cheap reasons to fail first."""


def use_threads(count: int) -> None:
    """Compute with this many CPU threads from now on."""
    torch.set_num_threads(count)


def judge(item: Property, candidate: Candidate) -> Finding:
    """Try one property; whatever the network raises is a finding, and random states are left as they were."""
    started = time.monotonic()
    state: State = "ok"
    note = ""
    try:
        with torch.random.fork_rng(devices=[]):
            item.check(candidate)
    except checks.Wrong as error:
        state, note = "wrong", str(error)
    except checks.NotApplicable as error:
        state, note = "skipped", str(error)
    except BenchError as error:
        state, note = "wrong", ": ".join(part for part in (error.message, error.cause) if part)
    except Exception as error:  # a network can fail in any way that Python code can
        state, note = "wrong", _in_words(error)
    return Finding(item.name, state, note, time.monotonic() - started)


def _in_words(error: Exception) -> str:
    """Return the error with the line of its author's code that it comes from."""
    library = Path(torch.__file__).parent
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if library not in Path(frame.filename).parents and Path(frame.filename) != Path(checks.__file__)
    ]
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return f"{text} ({Path(own[-1].filename).name}:{own[-1].lineno})" if len(own) > 1 else text
