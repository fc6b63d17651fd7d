"""Numerical precision: autocast and gradient scaling on every kind of device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F

from bench_core.errors import TrainingError

Precision = Literal["fp32", "fp16", "bf16"]
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return torch.autocast of this precision; for fp32 a context that does nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_TYPES[precision])


def build_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Return a gradient scaler with torch's defaults, which does nothing unless the precision is fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def check_precision(precision: Precision, device: torch.device) -> None:
    """Try one small convolution, backward and scaled step; raise TrainingError if the device cannot."""
    if precision == "fp32":
        return
    weight = torch.ones(1, 1, 1, 1, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = build_scaler(precision, device)
    try:
        with autocast(precision, device):
            result = F.conv2d(torch.ones(1, 1, 2, 2, device=device), weight)
        scaler.scale(result.float().mean()).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        problem = "" if result.dtype == _TYPES[precision] else f"autocast computed in {result.dtype}"
    except (RuntimeError, NotImplementedError, TypeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    if problem:
        raise TrainingError(
            f"precision {precision} does not work on device {device}",
            place="protocol.precision",
            cause=problem,
            fix="set `precision: fp32` (for every model, or as a deviation), or run on another device",
        )
