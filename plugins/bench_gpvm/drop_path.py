"""Stochastic depth: in training, a residual branch is left out for some images of a batch.

Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, arXiv:1603.09382.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero a branch [B, ...] with probability `rate` image by image, and scale kept ones by 1 / (1 - rate).

    Draws B uniform numbers a call in training where the rate is not 0; the identity otherwise.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch, [B, ...] like the input."""
        if self.rate == 0.0 or not self.training:
            return branch
        keep = 1 - self.rate
        # Not in half precision, in which the sum below would round up to 1 too often.
        dtype = torch.promote_types(branch.dtype, torch.float32)
        shape = (branch.shape[0], *(1,) * (branch.ndim - 1))
        kept = (torch.rand(shape, dtype=dtype, device=branch.device) + keep).floor()
        return branch / keep * kept.to(branch.dtype)
