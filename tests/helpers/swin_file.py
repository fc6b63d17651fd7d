"""A file with the names and shapes of the published ImageNet weights of Swin-Tiny."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from torch import Tensor

_WINDOW = 7
_DEPTHS = (2, 2, 6, 2)


def swin_tiny_shapes() -> dict[str, tuple[int, ...]]:
    """Return names and shapes, masks and index tables included."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (96, 3, 4, 4),
        "patch_embed.proj.bias": (96,),
        **_norm("patch_embed.norm", 96),
        **_norm("norm", 768),
        **_linear("head", 768, 1000),
    }
    for stage, depth in enumerate(_DEPTHS):
        width, heads = 96 * 2**stage, 3 * 2**stage
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}"
            shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
            shapes |= _linear(f"{block}.attn.qkv", width, 3 * width)
            shapes |= _linear(f"{block}.attn.proj", width, width)
            shapes |= _linear(f"{block}.mlp.fc1", width, 4 * width)
            shapes |= _linear(f"{block}.mlp.fc2", 4 * width, width)
            shapes[f"{block}.attn.relative_position_bias_table"] = ((2 * _WINDOW - 1) ** 2, heads)
            shapes[f"{block}.attn.relative_position_index"] = (_WINDOW**2, _WINDOW**2)
            if number % 2 and stage < len(_DEPTHS) - 1:
                windows = (224 // 4 // 2**stage // _WINDOW) ** 2
                shapes[f"{block}.attn_mask"] = (windows, _WINDOW**2, _WINDOW**2)
        if stage < len(_DEPTHS) - 1:
            shapes |= _norm(f"layers.{stage}.downsample.norm", 4 * width)
            shapes[f"layers.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
    return shapes


def value_of(name: str) -> float:
    """Return the number that every element of the tensor of this name is."""
    return zlib.crc32(name.encode()) / 2**32


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return tensors that are small on disk, each filled with its own number."""
    return {name: torch.tensor(value_of(name)).expand(shape) for name, shape in shapes.items()}


def write_swin_tiny(folder: Path, name: str = "swin_tiny_patch4_window7_224.pth") -> Path:
    """Write the file, its tensors under `model` as they are published."""
    torch.save({"model": filled(swin_tiny_shapes())}, folder / name)
    return folder / name


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}
