"""VWFormer's decode head: attention to windows of varying size, at the cost of one.

Yan et al., Multi-Scale Representations by Varying Window Attention for Semantic Segmentation, ICLR 2024,
arXiv:2404.16573. The authors' `VWHead`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.encoder_decoder import Tensors, resize

RATIOS = (2, 4, 8)
"""Sides of context windows over that of the query's window."""
WINDOWS = 8
"""Query windows along each side of the map."""
_FINE_WIDTH = 48
_DROPOUT = 0.1


class ConvNormReLU(nn.Sequential):
    """Convolution without padding, batch normalization, ReLU. [B, in, h, w] to [B, out, h', w']."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class VaryingWindowAttention(nn.Module):
    """Every window of a map [B, D, h, w] attends to a context around it, `ratio` times as wide and high.

    The map is cut into 8x8 windows, h and w being multiples of 8. A convolution first narrows the map to
    D / ratio^2 channels; the pixels of a context are then folded into channels, ratio x ratio into one, so
    that a context has as many tokens, as wide, as the window that attends to it.
    """

    def __init__(self, width: int, ratio: int, heads: int, shortcut: bool) -> None:
        super().__init__()
        self.ratio = ratio
        self.heads = heads
        self.shortcut = shortcut
        before, after = ratio // 2 - 1, ratio // 2
        self.pad = nn.ZeroPad2d((before, after, before, after))
        self.narrow = ConvNormReLU(width, width // ratio**2, ratio)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Conv2d(width, width, 1, bias=False)
        self.output_norm = nn.BatchNorm2d(width)
        self._init()

    def _init(self) -> None:
        nn.init.normal_(self.query.weight, std=0.01)
        for linear in (self.key, self.value):
            nn.init.normal_(linear.weight, std=(2 / linear.out_features) ** 0.5)
        for linear in (self.query, self.key, self.value):
            nn.init.zeros_(linear.bias)
        nn.init.kaiming_normal_(self.output.weight, mode="fan_out", nonlinearity="relu")
        # Attention adds nothing at first: with the shortcut, the whole is the identity.
        nn.init.zeros_(self.output_norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        contexts = fold_contexts(self.narrow(self.pad(maps)), self.ratio)
        attended = functional.scaled_dot_product_attention(
            self._split_heads(self.query(to_windows(maps))),
            self._split_heads(self.key(contexts)),
            self._split_heads(self.value(contexts)),
        )
        merged = to_map(attended.transpose(1, 2).flatten(2), maps.shape)
        normalized: Tensor = self.output_norm(self.output(merged))
        return maps + normalized if self.shortcut else normalized

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return torch.unflatten(tokens, 2, (self.heads, -1)).transpose(1, 2)


def to_windows(maps: Tensor) -> Tensor:
    """Return the windows of maps [B, D, h, w] as tokens [B * 64, window's pixels, D]."""
    cut = torch.unflatten(torch.unflatten(maps, 3, (WINDOWS, -1)), 2, (WINDOWS, -1))
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


def to_map(tokens: Tensor, shape: Sequence[int]) -> Tensor:
    """Return windows' tokens [B * 64, window's pixels, D] as maps of shape [B, D, h, w]."""
    batch, width, rows, columns = shape
    cut = tokens.reshape(batch, WINDOWS, WINDOWS, rows // WINDOWS, columns // WINDOWS, width)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, width, rows, columns)


def fold_contexts(maps: Tensor, ratio: int) -> Tensor:
    """Return the windows' contexts in maps [B, C, h, w] as tokens [B * 64, window's pixels, C * ratio^2].

    One token is ratio x ratio neighbors; its channels go over their rows, their columns, then their own.
    """
    windows = maps
    for axis in (3, 2):
        side = maps.shape[axis] // WINDOWS
        windows = _copy_shift(windows, axis, ratio, side).unfold(axis, ratio * side, side)
    # [B, C, 8, 8, columns, rows], as the columns have been unfolded first.
    split = torch.unflatten(torch.unflatten(windows, 5, (-1, ratio)), 4, (-1, ratio))
    return split.permute(0, 2, 3, 6, 4, 7, 5, 1).flatten(5, 7).flatten(3, 4).flatten(0, 2)


def _copy_shift(maps: Tensor, axis: int, ratio: int, side: int) -> Tensor:
    """Pad an axis so that contexts `ratio` windows long can surround each window of `side` pixels.

    The padding is copied from the map itself, from where it does not lie in the border windows' contexts
    yet, instead of zeros to which attention would be lost. For odd sides there is a pixel more before.
    """
    before_start, length = (ratio + 1) * side // 2, (ratio - 1) * side
    before = maps.narrow(axis, before_start, ratio * side - before_start)
    after = maps.narrow(axis, maps.shape[axis] - ratio * side, length - before.shape[axis])
    return torch.cat([before, maps, after], dim=axis)


class VWHead(nn.Module):
    """Features at strides 4, 8, 16, 32 to logits [B, K, h, w] of the finest's size, multiples of 16.

    The global average is normalized over the batch alone: training needs two or more images a batch.
    """

    def __init__(
        self, widths: Sequence[int], num_classes: int, width: int = 512, heads: int = 1, shortcut: bool = True
    ) -> None:
        super().__init__()
        fine, *coarser = widths
        self.project = nn.ModuleList(nn.Conv2d(stage_width, width, 1) for stage_width in coarser)
        self.fuse = ConvNormReLU(len(coarser) * width, width)
        self.short_path = ConvNormReLU(width, width)
        self.image_pool = ConvNormReLU(width, width)
        self.attentions = nn.ModuleList(
            VaryingWindowAttention(width, ratio, heads, shortcut) for ratio in RATIOS
        )
        self.merge = ConvNormReLU((2 + len(RATIOS)) * width, width)
        self.project_fine = nn.Conv2d(fine, _FINE_WIDTH, 1)
        self.refine = ConvNormReLU(width + _FINE_WIDTH, width)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.classify = nn.Conv2d(width, num_classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        fine, *coarser = features
        multi_scale = resize(self.merge(self._scales(self._fused(coarser))), fine.shape[-2:])
        refined = self.refine(torch.cat([multi_scale, self.project_fine(fine)], dim=1))
        logits: Tensor = self.classify(self.dropout(refined))
        return logits

    def _fused(self, coarser: Sequence[Tensor]) -> Tensor:
        """Return the three coarser stages as one map at stride 8."""
        size = coarser[0].shape[-2:]
        projected = [
            resize(project(feature), size) for project, feature in zip(self.project, coarser, strict=True)
        ]
        fused: Tensor = self.fuse(torch.cat(projected[::-1], dim=1))
        return fused

    def _scales(self, fused: Tensor) -> Tensor:
        """Return the map seen locally, as a whole, and in contexts of growing size, side by side."""
        average = self.image_pool(functional.adaptive_avg_pool2d(fused, 1)).expand_as(fused)
        contexts = [attention(fused) for attention in self.attentions]
        return torch.cat([self.short_path(fused), average, *contexts], dim=1)


_PUBLISHED = (
    (r"^linear_c1\.proj\.", "project_fine."),
    (r"^linear_c2\.proj\.", "project.0."),
    (r"^linear_c3\.proj\.", "project.1."),
    (r"^linear_c4\.proj\.", "project.2."),
    (r"^linear_fuse\.", "fuse."),
    (r"^image_pool\.1\.", "image_pool."),
    (r"^cat\.", "merge."),
    (r"^low_level_fuse\.", "refine."),
    (r"^conv_seg\.", "classify."),
    (r"^ds\.(\d)\.", r"attentions.\1.narrow."),
    (r"^attn\.(\d)\.theta\.conv\.", r"attentions.\1.query."),
    (r"^attn\.(\d)\.phi\.conv\.", r"attentions.\1.key."),
    (r"^attn\.(\d)\.g\.conv\.", r"attentions.\1.value."),
    (r"^attn\.(\d)\.conv_out\.conv\.", r"attentions.\1.output."),
    (r"^attn\.(\d)\.conv_out\.bn\.", r"attentions.\1.output_norm."),
    (r"\.conv\.(\w+)$", r".0.\1"),
    (r"\.bn\.(\w+)$", r".1.\1"),
)
"""Names in the authors' VWHead, and here; all that match apply, in this order."""
_LINEAR_THERE = re.compile(r"linear_c[1-4]\.proj\.weight")
_CONVOLUTION_THERE = re.compile(r"attn\.\d\.(theta|phi|g)\.conv\.weight")


def to_vw_head(tensors: Tensors) -> Tensors:
    """Rename the tensors of the authors' VWHead to this module's names; other names stay."""
    return {_renamed(name): _reshaped(name, tensor) for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _PUBLISHED:
        name = re.sub(theirs, ours, name)
    return name


def _reshaped(name: str, tensor: Tensor) -> Tensor:
    """Return a linear layer's weight as a 1x1 convolution's, or the other way round, where the two differ."""
    if _LINEAR_THERE.fullmatch(name):
        return tensor[..., None, None]
    return tensor.flatten(1) if _CONVOLUTION_THERE.fullmatch(name) else tensor
