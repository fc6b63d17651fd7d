"""Turns what PyTorch raises when a job cannot continue into what the user can change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench_core.errors import MissingDependencyError, TrainingError
from bench_core.plan.job import Job
from bench_core.protocol.interfaces import RunOptions

_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Parts of the messages of plain RuntimeErrors that mean a failed allocation."""

_TOO_FEW_TO_NORMALIZE = "Expected more than 1 value per channel when training"


@contextmanager
def explain_failures(job: Job, options: RunOptions) -> Iterator[None]:
    """Turn failures into errors that say what to change.

    Raises TrainingError for out of memory and for a batch too small to be normalized, and
    MissingDependencyError for a compiler that is not there.
    """
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(job, options, "") from error
    except ValueError as error:
        if _TOO_FEW_TO_NORMALIZE in str(error):
            raise _batch_too_small(job, str(error)) from error
        raise
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise out_of_memory(job, options, str(error)) from error
        if options.compile and _is_compiler_failure(error):
            raise _compiler_failed(error) from error
        raise


def out_of_memory(job: Job, options: RunOptions, detail: str) -> TrainingError:
    """Return the error that names batch size, image size, precision and device, and what to try."""
    training = job.training
    size, batch = job.pixels.image_size, training.batch_size
    remedies = []
    at_a_time = training.micro_batch or batch
    if at_a_time > 1:
        half = max(1, at_a_time // 2)
        remedies.append(
            f"protocol.micro_batch {half}, which keeps the batch but passes {half} images at a time"
        )
    if batch > 1:
        remedies.append(f"a smaller protocol.batch_size (say {max(1, batch // 2)})")
    if training.precision == "fp32":
        remedies.append("protocol.precision bf16 or fp16")
    remedies.append(f"a smaller protocol.image_size than {size}")
    if options.device == "cpu":
        remedies.append("fewer --workers, or a machine with more memory")
    else:
        remedies.append("another --device, or fewer --workers on this one")
    first_line = detail.strip().splitlines()[0] if detail.strip() else ""
    return TrainingError(
        f"out of memory on {options.device}: batch size {batch}, {size}x{size} images, {training.precision}",
        cause=first_line or None,
        fix="try " + "; or ".join(remedies),
    )


def _batch_too_small(job: Job, detail: str) -> TrainingError:
    training = job.training
    size, batch = job.pixels.image_size, training.micro_batch or training.batch_size
    setting = "micro_batch" if training.micro_batch else "batch_size"
    return TrainingError(
        f"a batch of {batch} at {size}x{size} cannot be normalized where the network has one pixel left",
        cause=detail,
        fix=f"set protocol.{setting} to 2 or more (a larger protocol.image_size helps only where no layer "
        "averages over the whole image)",
    )


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(part in str(error) for part in _OUT_OF_MEMORY)


def _is_compiler_failure(error: RuntimeError) -> bool:
    # Both live in private-looking modules that torch imports by itself only once something is compiled.
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


def _compiler_failed(error: RuntimeError) -> MissingDependencyError:
    first_line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return MissingDependencyError(
        "torch.compile could not compile the network",
        cause=first_line,
        fix="install a C++ compiler (g++, python3-dev; on CUDA also triton), or set runtime.compile: false",
    )
