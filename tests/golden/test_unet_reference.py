"""U-Net computes what the widely used public implementation computes with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench_sma.unet import UNet, from_reference
from tests.helpers.golden import Golden, golden_errors


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_logits_and_input_gradient(
    golden_dir: Path, dtype: torch.dtype, tolerance: float, record_property: Callable[[str, object], None]
) -> None:
    golden = Golden.read(golden_dir, "unet")
    model = UNet(in_channels=3, num_classes=golden.facts["classes"])
    assert sum(p.numel() for p in model.parameters()) == golden.facts["parameters"]
    errors = golden_errors(model, golden, from_reference, dtype)
    for name, error in errors.items():
        record_property(name, error)
        print(f"unet {dtype} {name}: relative error {error:.2e}")
    assert max(errors.values()) <= tolerance
