"""What MISSFormer's encoder, bridge and decoder are made of (Huang et al., arXiv 2109.07162)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

Grid = tuple[int, int]
"""Height and width of a grid of tokens."""

HEADS = (1, 2, 5, 8)
"""Attention heads of the four stages, which are also their widths in multiples of the first one's."""
REDUCTIONS = (8, 4, 2, 1)
"""Factors that bring the grids of the four stages to the size of the last."""
_EXPANSION = 4
_UNUSED_NORMS = 2


class EfficientAttention(nn.Module):
    """Self-attention of tokens [B, h * w, C], keys and values taken from a grid reduced by a convolution."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reduces = reduction > 1
        if self.reduces:
            self.reduction = nn.Conv2d(width, width, reduction, stride=reduction)
            self.reduction_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        context = tokens
        if self.reduces:
            context = self.reduction_norm(to_tokens(self.reduction(to_maps(tokens, grid))))
        key, value = self.key_value(context).chunk(2, dim=-1)
        output: Tensor = self.output(attend(self.query(tokens), key, value, self.heads))
        return output


class EnhancedMixFeedForward(nn.Module):
    """Per-token network, its hidden layer mixed over 3x3 neighborhoods, added to itself and normalized.

    Keeps tokens [B, h * w, C]. The paper's simplified form: the recursive steps are left out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = _EXPANSION * width
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.contract = nn.Linear(hidden, width)
        # Published counts and checkpoints include the normalizations of the recursive steps.
        self.unused_norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(_UNUSED_NORMS))

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        hidden = self.expand(tokens)
        mixed = to_tokens(self.depthwise(to_maps(hidden, grid)))
        contracted: Tensor = self.contract(functional.gelu(self.norm(mixed + hidden)))
        return contracted


class Block(nn.Module):
    """Attention and feed-forward network, each on normalized tokens and added to them."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = EfficientAttention(width, heads, reduction)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = EnhancedMixFeedForward(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.attention(self.norm1(tokens), grid)
        tokens = tokens + self.feed_forward(self.norm2(tokens), grid)
        return tokens


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the attention of tokens [B, N, C] to tokens [B, M, C], in `heads` groups of channels."""
    query, key, value = (
        part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in (query, key, value)
    )
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def to_tokens(maps: Tensor) -> Tensor:
    """Return maps [B, C, h, w] as tokens [B, h * w, C], row by row."""
    return maps.flatten(2).transpose(1, 2)


def to_maps(tokens: Tensor, grid: Grid) -> Tensor:
    """Return tokens [B, h * w, C] as maps [B, C, h, w]."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)
