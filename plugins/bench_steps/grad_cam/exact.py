"""Arithmetic under which maps are made: float32 on every device, the same again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench_core.protocol.devices import deterministic


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels and whole float32 inside, and put the former settings back afterwards.

    On CUDA, convolutions would else be computed with 10 bits of mantissa (TF32). Training may have been in a
    narrower precision; its own label maps say what was predicted then.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with deterministic(device):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
