"""UPerNet's head: equality with MMSegmentation's, outputs and gradients, in evaluation and in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.weights.load import load_strictly
from bench_gpvm.uper_head import UPerHead, to_uper_head
from tests.helpers.checkpoints import shapes_alone

WIDTHS = (6, 10, 16, 24)
"""Of the four stages' features."""


def features(dtype: torch.dtype = torch.float64, sides: tuple[int, ...] = (21, 11, 6, 3)) -> list[Tensor]:
    """Return the features of two images, of odd and not halved sizes."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(2, width, side, side + 1, generator=generator, dtype=dtype).requires_grad_()
        for width, side in zip(WIDTHS, sides, strict=True)
    ]


def mmseg_head(classes: int, width: int) -> nn.Module:
    """MMSegmentation's own, every tensor at a random number."""
    heads: Any = pytest.importorskip("mmseg.models.decode_heads")
    head: nn.Module = heads.UPerHead(
        in_channels=list(WIDTHS),
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=width,
        dropout_ratio=0.1,
        num_classes=classes,
        norm_cfg={"type": "BN", "requires_grad": True},
        align_corners=False,
    ).double()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in head.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(1 + 0.1 * noise.abs() if name.endswith("running_var") else 0.2 * noise)
    return head


@pytest.mark.parametrize("training", [False, True])
def test_computes_what_mmsegmentation_computes(training: bool) -> None:
    theirs, ours = mmseg_head(3, width=8), UPerHead(WIDTHS, 3, width=8).double()
    report = load_strictly(ours, to_uper_head(theirs.state_dict()))
    assert report.loaded == report.total
    their_inputs, our_inputs = features(), features()
    torch.manual_seed(2)
    expected = theirs.train(training)(their_inputs)
    torch.manual_seed(2)
    found = ours.train(training)(our_inputs)
    assert found.shape == (2, 3, 21, 22)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    for logits in (expected, found):
        logits.square().mean().backward()
    for mine, other in zip(our_inputs, their_inputs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-12)
    gradients = to_uper_head({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients.pop(name), rtol=1e-9, atol=1e-11)
    assert not gradients


def test_has_the_published_size() -> None:
    """As counted in public TransNeXt-T and InternImage-T with UPerNet, without auxiliary heads."""
    with shapes_alone():
        counts = [
            sum(parameter.numel() for parameter in UPerHead(widths, 2).parameters())
            for widths in ((72, 144, 288, 576), (64, 128, 256, 512))
        ]
    assert counts == [30_057_474, 29_602_818]


def test_one_pixel_of_the_coarsest_stage_is_enough_to_train_on() -> None:
    head = UPerHead(WIDTHS, 1, width=8).double()
    inputs = features(sides=(8, 4, 2, 1))
    head(inputs).square().mean().backward()
    assert all(feature.grad is not None and torch.isfinite(feature.grad).all() for feature in inputs)


def test_names_that_are_not_the_heads_stay() -> None:
    strange = {"head.weight": torch.zeros(1), "conv_segment.bias": torch.zeros(1)}
    assert to_uper_head(strange).keys() == strange.keys()
