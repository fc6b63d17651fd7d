"""Files with the names and shapes of the Mix Transformer's published ImageNet weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def authors_name(name: str) -> str:
    """A backbone's tensor in the authors' files."""
    stage, rest = int(name.split(".")[1]), name.split(".", 2)[2]
    for ours, theirs in (
        ("embed.projection.", f"patch_embed{stage + 1}.proj."),
        ("embed.", f"patch_embed{stage + 1}."),
        ("blocks.", f"block{stage + 1}."),
        ("norm.", f"norm{stage + 1}."),
    ):
        if rest.startswith(ours):
            rest = theirs + rest.removeprefix(ours)
            break
    for ours, theirs in (
        ("attention.query", "attn.q"),
        ("attention.key_value", "attn.kv"),
        ("attention.output", "attn.proj"),
        ("attention.reduction_norm", "attn.norm"),
        ("attention.reduction", "attn.sr"),
        ("feed_forward.expand", "mlp.fc1"),
        ("feed_forward.depthwise", "mlp.dwconv.dwconv"),
        ("feed_forward.contract", "mlp.fc2"),
    ):
        rest = rest.replace(ours, theirs)
    return rest


def authors_file(backbone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's tensors as the authors publish them, classifier included."""
    tensors = {authors_name(name): tensor for name, tensor in backbone.items()}
    return {**tensors, "head.weight": torch.zeros(1000, 512), "head.bias": torch.zeros(1000)}
