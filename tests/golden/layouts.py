"""A reference's own order of operations, for numbers that owe something to its memory layout.

PyTorch's CPU kernel (2.14.1 at least) computes another gradient of batch normalization of a single image
where the incoming gradient lies like transposed tokens. References that work on tokens have stored that
one. In the layouts here our modules give the same; in their own they give the true gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.segnext.mscan import MSCAN, Attention, Block, MultiScaleGate


def mscan_over_tokens(model: nn.Module, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    """Return the decode head's logits and the stage outputs, normalized as tokens [B, h * w, C]."""
    backbone = model.get_submodule("backbone")
    assert isinstance(backbone, MSCAN)
    features = [image]
    for stage in backbone.stages:
        maps = stage.get_submodule("downsample")(features[-1])
        shape, tokens = maps.shape, maps.flatten(2).transpose(1, 2)
        for block in stage.get_submodule("blocks").children():
            assert isinstance(block, Block)
            tokens = _block(block, tokens.transpose(1, 2).view(shape)).view(*shape[:2], -1).transpose(1, 2)
        tokens = stage.get_submodule("norm")(tokens)
        features.append(tokens.unflatten(1, shape[-2:]).permute(0, 3, 1, 2).contiguous())
    return model.get_submodule("decode_head")(features[1:]), features[1:]


def _block(block: Block, maps: Tensor) -> Tensor:
    attended = _attention(block.attention, block.attention_norm(maps))
    maps = maps + block.attention_scale[:, None, None] * attended
    fed: Tensor = block.feed_forward(block.feed_forward_norm(maps))
    return maps + block.feed_forward_scale[:, None, None] * fed


# Copies of the inputs decide in which order, and so in which layout, gradients are added up.
def _attention(attention: Attention, maps: Tensor) -> Tensor:
    shortcut = maps.clone()
    gated = _gate(attention.gate, functional.gelu(attention.enter(maps)))
    return torch.add(attention.leave(gated), shortcut)


def _gate(gate: MultiScaleGate, maps: Tensor) -> Tensor:
    gated = maps.clone()
    local = gate.local(maps)
    strips = [strip(local) for strip in gate.strips]
    total = local + strips[0] + strips[1] + strips[2]
    return torch.mul(gate.mix(total), gated)
