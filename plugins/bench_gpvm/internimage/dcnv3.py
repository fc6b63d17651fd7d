"""Deformable convolution v3, the operator of InternImage (Wang et al., CVPR 2023, arXiv:2211.05778, 3.1).

Every pixel and group sums the features at nine points, which lie on a 3x3 grid moved by predicted offsets,
with predicted weights that sum to one. All points of all groups are sampled by one call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

POINTS = 9
_SIDE = 3
_PADDING = _SIDE // 2
_EPS = 1e-6


def sample_points(value: Tensor, offsets: Tensor, weights: Tensor, groups: int) -> Tensor:
    """Return for every pixel the weighted sum of value [B, H, W, C] at its nine points.

    offsets [B, H, W, groups * 9 * 2] are in pixels, x before y, weights are [B, H, W, groups * 9]. Points
    run down the columns of their grid, left column first. Between pixels features are interpolated
    bilinearly; beyond the map they are zero. Coordinates are never in half precision, whose steps would be
    of half a pixel.
    """
    batch, height, width, channels = value.shape
    pixels = height * width
    dtype = torch.promote_types(value.dtype, torch.float32)
    maps = value.to(dtype).permute(0, 3, 1, 2).reshape(batch * groups, channels // groups, height, width)
    maps = functional.pad(maps, (_PADDING,) * 4)
    grid, scale = _unmoved_points(height, width, dtype, value.device)
    moves = offsets.to(dtype).view(batch, pixels, groups, POINTS, 2).permute(0, 2, 3, 1, 4)
    # Pixels innermost: on a CPU faster than points innermost, in sampling and in summing.
    locations = torch.addcmul(grid, moves, scale).reshape(batch * groups, POINTS, pixels, 2)
    sampled = functional.grid_sample(maps, locations, padding_mode="zeros", align_corners=False)
    shares = weights.to(dtype).view(batch, pixels, groups, POINTS).permute(0, 2, 3, 1)
    total = (sampled * shares.reshape(batch * groups, 1, POINTS, pixels)).sum(dim=2)
    return total.reshape(batch, channels, pixels).transpose(1, 2).reshape(value.shape).to(value.dtype)


def _unmoved_points(
    height: int, width: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the points' grids [9, H * W, 2] and a pixel's size [2], x before y, in units of grid_sample.

    The units are those of the padded map. As in the authors' code the grids have the digits of single
    precision even in double: where a point lies on a line of pixels, the last one decides on which side, and
    gradients jump there.
    """
    padded = (width + 2 * _PADDING, height + 2 * _PADDING)
    # Filled on the device: a tensor of Python numbers would be copied there, and wait for it.
    scale = torch.cat([torch.full((1,), 2 / side, dtype=dtype, device=device) for side in padded])
    centers_x, centers_y = (
        (torch.arange(side, dtype=torch.float32, device=device) + (_PADDING + 0.5)) / (side + 2 * _PADDING)
        for side in (width, height)
    )
    steps = torch.arange(_SIDE, dtype=torch.float32, device=device) - _PADDING
    shape = (_SIDE, _SIDE, height, width)
    x = ((steps / padded[0])[:, None, None, None] + centers_x).expand(shape)
    y = ((steps / padded[1])[:, None, None] + centers_y[:, None]).expand(shape)
    return 2 * torch.stack([x, y], dim=-1).view(POINTS, height * width, 2).to(dtype) - 1, scale


class DCNv3(nn.Module):
    """Deformable convolution of features [B, H, W, C] that keeps their size.

    Each of the groups has its own nine points a pixel, which all its channels share. Offsets and weights are
    predicted from a 3x3 neighborhood; at first points are unmoved and weigh the same.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.depthwise = nn.Conv2d(width, width, _SIDE, padding=_PADDING, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.offset = nn.Linear(width, groups * POINTS * 2)
        self.weight = nn.Linear(width, groups * POINTS)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the linear layers as the paper's code does."""
        for predictor in (self.offset, self.weight):
            nn.init.zeros_(predictor.weight)
            nn.init.zeros_(predictor.bias)
        for projection in (self.value, self.output):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        local = self.depthwise(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        local = functional.gelu(self.norm(local))
        weights = self.weight(local).unflatten(-1, (self.groups, POINTS)).softmax(dim=-1).flatten(-2)
        moved = sample_points(self.value(features), self.offset(local), weights, self.groups)
        output: Tensor = self.output(moved)
        return output
