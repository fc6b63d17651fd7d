"""TransNeXt's two attentions (Shi, CVPR 2024, arXiv:2311.17132): aggregated, and global in the last stage.

Queries and keys are unit vectors. Their products are scaled by a learned temperature and by the logarithm of
the number of keys, so that attention stays as sharp when an image has more of them, and a bias computed from
the distance is added (log-spaced and continuous: Liu et al., Swin Transformer V2, arXiv:2111.09883).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_WINDOW = 3
_BIAS_HIDDEN = 512
_REACH = 8
"""Distances are measured in eighths of the pretraining images' side."""
_SHARPNESS = 1 / 0.24
"""What queries are multiplied by before training."""
_ALIGNMENT = 8
"""Fused kernels in half precision take head widths that are multiples of this."""

Grid = tuple[int, int]


class PositionBias(nn.Module):
    """Bias of attention from each token of a grid to the centers of its square patches.

    `pretrain_side` is the grid's side at the size of the published weights' images; `reduction` is the side
    of a patch in tokens (1: the tokens themselves).
    """

    def __init__(self, heads: int, reduction: int, pretrain_side: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.pretrain_side = pretrain_side
        self.expand = nn.Linear(2, _BIAS_HIDDEN)
        self.contract = nn.Linear(_BIAS_HIDDEN, heads)

    def forward(self, grid: Grid) -> Tensor:
        """Return [heads, h * w, keys], the keys in reverse order, the last patch first."""
        down, across = (self._distances(side) for side in grid)
        distances = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1)
        table = self.contract(functional.relu(self.expand(distances))).permute(2, 0, 1)
        # As keys are reversed, the distance from query q to key k stands at q + reduction * k: windows of the
        # table are the rows of the bias, which therefore needs no index.
        windows = table.unfold(1, grid[0], self.reduction).unfold(2, grid[1], self.reduction)
        bias: Tensor = windows.permute(0, 3, 4, 1, 2).flatten(3, 4).flatten(1, 2)
        return bias

    def _distances(self, side: int) -> Tensor:
        weight = self.expand.weight
        # In single precision always, as in the published code, and then in that of the weights.
        count = 2 * side - self.reduction
        offsets = torch.arange(count, dtype=torch.float32, device=weight.device)
        offsets = offsets - (side - self.reduction) - (self.reduction - 1) / 2
        scaled = offsets / (self.pretrain_side - 1) * _REACH
        logarithms = scaled.sign() * torch.log2(scaled.abs() + 1) / math.log2(_REACH)
        return logarithms.to(weight.dtype)


class CosineQuery(nn.Module):
    """Scales unit queries [B, heads, N, d], after adding to all of them one learned embedding."""

    def __init__(self, heads: int, head_width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(heads, 1, head_width))
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), math.log(math.expm1(_SHARPNESS))))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    def forward(self, unit: Tensor, keys: Tensor) -> Tensor:
        """Return queries to be multiplied with unit keys, of which there are `keys`, [N, 1] or [1]."""
        # In single precision always, as in the published code.
        log_keys = keys.to(torch.float32).log().to(unit.dtype)
        return (unit + self.embedding) * functional.softplus(self.temperature) * log_keys


class GlobalAttention(nn.Module):
    """Every token [B, h * w, C] attends to every token."""

    def __init__(self, width: int, heads: int, pretrain_side: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.scale_query = CosineQuery(heads, width // heads)
        self.position_bias = PositionBias(heads, 1, pretrain_side)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        query, key, value = (
            split_heads(part, self.heads) for part in self.query_key_value(tokens).chunk(3, dim=-1)
        )
        query = self.scale_query(_unit(query), torch.tensor([tokens.shape[1]], device=tokens.device))
        attended = _attend(query, _unit(key).flip(2), value.flip(2), self.position_bias(grid))
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class AggregatedAttention(nn.Module):
    """Each token [B, h * w, C] attends to its 3x3 neighborhood and to pooled patches, in one softmax.

    Height and width of the grid must be multiples of `reduction`, the side of a patch. Neighbors have a
    second set of weights, which depends on the query alone and is added after the softmax.

    The pooled part is fused attention; the neighborhood's share of the common softmax comes from one more
    key, whose score is the neighborhood's log-sum-exp. On a GPU, and on a CPU without gradients, nothing is
    kept of size [B, tokens, patches]: the bias is one for all images, and its gradient alone passes through
    that size. Nine shifted views of keys and values stand for the neighborhoods, so that nothing has
    [tokens, 9, C] numbers: a ninth of the memory of unfolding, and faster.
    """

    def __init__(self, width: int, heads: int, reduction: int, pretrain_side: int) -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        head_width = width // heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.scale_query = CosineQuery(heads, head_width)
        self.local_bias = nn.Parameter(torch.empty(heads, _WINDOW**2))
        self.local_tokens = nn.Parameter(torch.empty(heads, head_width, _WINDOW**2))
        self.local_tokens_bias = nn.Parameter(torch.zeros(heads, 1, _WINDOW**2))
        self.reduce = nn.Conv2d(width, width, 1)
        self.reduce_norm = nn.LayerNorm(width)
        self.position_bias = PositionBias(heads, reduction, pretrain_side)
        self.output = nn.Linear(width, width)
        nn.init.trunc_normal_(self.local_bias, std=0.0004)
        nn.init.trunc_normal_(self.local_tokens, std=0.02)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        inside = _neighbors_inside(grid, tokens.device)
        patches = (grid[0] // self.reduction) * (grid[1] // self.reduction)
        unit = _unit(split_heads(self.query(tokens), self.heads))
        query = self.scale_query(unit, inside.sum(0).reshape(-1, 1) + patches)

        key, value = (self._as_maps(part, grid) for part in self.key_value(tokens).chunk(2, dim=-1))
        key = functional.normalize(key, dim=2)
        scores = _neighborhood_scores(_to_maps(query, grid), key) + self.local_bias[..., None, None]
        scores = scores.masked_fill(~inside, -math.inf)

        pooled, share = attend_with_rest(
            query, *self._pooled(tokens, grid), self.position_bias(grid), scores.logsumexp(2).flatten(2)
        )
        fixed = _to_maps(unit @ self.local_tokens + self.local_tokens_bias, grid)
        weights = scores.softmax(2) * _to_maps(share, grid) + fixed
        attended = pooled + _neighborhood_sum(weights, value).flatten(3).transpose(2, 3)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output

    def _pooled(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return keys and values of the patches, [B, heads, patches, d], the last patch first."""
        maps = functional.gelu(self.reduce(tokens.transpose(1, 2).reshape(*tokens.shape[::2], *grid)))
        patches = functional.avg_pool2d(maps, self.reduction).flatten(2).transpose(1, 2)
        context = self.key_value(self.reduce_norm(patches.flip(1)))
        key, value = (split_heads(part, self.heads) for part in context.chunk(2, dim=-1))
        return _unit(key), value

    def _as_maps(self, tokens: Tensor, grid: Grid) -> Tensor:
        return _to_maps(split_heads(tokens, self.heads), grid)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Return tokens [B, N, C] as [B, heads, N, C / heads]."""
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _to_maps(tokens: Tensor, grid: Grid) -> Tensor:
    """Return tokens [B, heads, h * w, d] as [B, heads, d, h, w], contiguous, so that shifts are cheap."""
    return tokens.transpose(2, 3).contiguous().reshape(*tokens.shape[:2], -1, *grid)


def _unit(tokens: Tensor) -> Tensor:
    return functional.normalize(tokens, dim=-1)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=1.0)


def attend_with_rest(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, rest: Tensor
) -> tuple[Tensor, Tensor]:
    """Attend from [B, heads, N, d] to keys, and to one more, of score `rest` [B, heads, N] and value zero.

    Return what was attended to, [B, heads, N, d], and the share of the one more, [B, heads, N, 1].
    """
    width = query.shape[-1]
    spare = -width % _ALIGNMENT or _ALIGNMENT
    rest = rest[..., None]
    # In two parts, so that half precision does not round the score of nine keys more than that of one.
    coarse = rest.detach().bfloat16().to(rest.dtype)
    query = torch.cat([query, coarse, rest - coarse, query.new_zeros(*rest.shape[:-1], spare - 2)], dim=-1)
    key = functional.pad(key, (0, spare, 0, 1))
    key[..., -1, width : width + 2] = 1
    value = functional.pad(value, (0, spare, 0, 1))
    value[..., -1, width] = 1
    attended = _attend(query, key, value, functional.pad(bias, (0, 1)))
    return attended[..., :width], attended[..., width : width + 1]


def _neighborhood_scores(query: Tensor, key: Tensor) -> Tensor:
    """Multiply each query with the keys around it: twice [B, heads, d, h, w] to [B, heads, 9, h, w]."""
    return torch.stack([(query * shifted).sum(2) for shifted in _shifts(key)], dim=2)


def _neighborhood_sum(weights: Tensor, value: Tensor) -> Tensor:
    """Sum values [B, heads, d, h, w] around each place by its weights [B, heads, 9, h, w]."""
    total = torch.zeros_like(value)
    for weight, shifted in zip(weights.unsqueeze(3).unbind(2), _shifts(value), strict=True):
        total = total + weight * shifted
    return total


def _shifts(maps: Tensor) -> list[Tensor]:
    """Return views of zero-padded maps [..., h, w]: each place's neighbor in the window, row by row."""
    height, width = maps.shape[-2:]
    padded = functional.pad(maps, [_WINDOW // 2] * 4)
    return [
        padded[..., top : top + height, left : left + width]
        for top in range(_WINDOW)
        for left in range(_WINDOW)
    ]


def _neighbors_inside(grid: Grid, device: torch.device) -> Tensor:
    """Return which neighbors lie within the image, [9, h, w]."""
    return torch.stack(_shifts(torch.ones(grid, dtype=torch.bool, device=device)))
