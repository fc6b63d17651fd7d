"""SegNeXt: convolutional attention with a light Hamburger head (Guo et al., NeurIPS 2022, arXiv:2209.08575).

The head's matrix decomposition is that of Geng et al., Is Attention Better Than Matrix Decomposition?,
ICLR 2021, arXiv:2109.04553: multiplicative updates (Lee and Seung, NIPS 2000) from random bases, through
which gradients flow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_gpvm.encoder_decoder import EncoderDecoder, Tensors, convert_parts, load_backbone, resize
from bench_gpvm.segnext.mscan import MSCAN, SIZES
from bench_gpvm.segnext.weights import CLASSIFIER, to_backbone

HEAD_WIDTHS: Mapping[str, int] = {"t": 256, "s": 256, "b": 512, "l": 1024}
_GROUPS = 32
_DROPOUT = 0.1
_TRAIN_UPDATES, _EVAL_UPDATES = 6, 7
_EPSILON = 1e-6

_HEAD_NAMES = {
    "squeeze.conv": "squeeze.0",
    "squeeze.gn": "squeeze.1",
    "hamburger.ham_in.conv": "hamburger.enter",
    "hamburger.ham_out.conv": "hamburger.leave.0",
    "hamburger.ham_out.gn": "hamburger.leave.1",
    "align.conv": "align.0",
    "align.gn": "align.1",
    "conv_seg": "classify",
}
"""Modules of the head in published checkpoints, and what they are called here."""


class SegNeXt(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W]; the head's own logits have 1/8 of the side, rounded up.

    `bases` is the rank of the head's decomposition. `drop_path` is the backbone's; None takes the variant's.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "l",
        bases: int = 64,
        drop_path: float | None = None,
    ) -> None:
        size = SIZES[variant]
        super().__init__(
            MSCAN(size, in_channels, size.drop_path if drop_path is None else drop_path),
            LightHamHead(size.widths[1:], num_classes, HEAD_WIDTHS[variant], bases),
        )


class LightHamHead(nn.Module):
    """Four feature maps, the finest unused, to logits [B, K, h, w] of the second's size."""

    def __init__(self, widths: Sequence[int], num_classes: int, width: int, bases: int) -> None:
        super().__init__()
        self.squeeze = _projection(sum(widths), width)
        self.hamburger = Hamburger(width, bases)
        self.align = _projection(width, width)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.classify = nn.Conv2d(width, num_classes, 1)
        self.apply(_initialize)
        nn.init.normal_(self.classify.weight, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        _, *used = features
        size = used[0].shape[-2:]
        together = torch.cat([resize(feature, size) for feature in used], dim=1)
        aligned = self.align(self.hamburger(self.squeeze(together)))
        logits: Tensor = self.classify(self.dropout(aligned))
        return logits


class Hamburger(nn.Module):
    """Add to features [B, C, H, W] global context, which is in their low-rank approximation."""

    def __init__(self, width: int, bases: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.decompose = NonNegativeFactorization(bases)
        self.leave = nn.Sequential(*_normalized(width, width))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, none of them negative."""
        approximated = self.decompose(functional.relu(self.enter(features)))
        return functional.relu(features + self.leave(approximated))


class NonNegativeFactorization(nn.Module):
    """Approximate non-negative features [B, C, H, W] by `rank` bases of length C and their coefficients.

    New bases are drawn from torch's global generator in every forward pass, in evaluation too, always on the
    CPU: a seed means the same bases on every device.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def forward(self, features: Tensor) -> Tensor:
        """Return the approximation; gradients flow through all updates."""
        data = features.flatten(2)
        bases = self._drawn(data)
        coefficients = functional.softmax(data.transpose(1, 2) @ bases, dim=-1)
        for _ in range(_TRAIN_UPDATES if self.training else _EVAL_UPDATES):
            coefficients = _updated(coefficients, data.transpose(1, 2), bases)
            bases = _updated(bases, data, coefficients)
        coefficients = _updated(coefficients, data.transpose(1, 2), bases)
        return (bases @ coefficients.transpose(1, 2)).reshape(features.shape)

    def _drawn(self, data: Tensor) -> Tensor:
        drawn = torch.rand(data.shape[0], data.shape[1], self.rank, dtype=torch.float32)
        dtype = torch.promote_types(data.dtype, torch.float32)
        return functional.normalize(drawn.to(data.device, dtype), dim=1)


def _updated(factor: Tensor, data: Tensor, other: Tensor) -> Tensor:
    """Return `factor` [B, M, R] after one multiplicative update towards data [B, M, N] = factor @ other^T."""
    return factor * (data @ other) / (factor @ (other.transpose(1, 2) @ other) + _EPSILON)


def _projection(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_normalized(before, after), nn.ReLU(inplace=True))


def _normalized(before: int, after: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, 1, bias=False), nn.GroupNorm(_GROUPS, after)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def from_published(tensors: Tensors) -> Tensors:
    """Rename a whole SegNeXt's tensors to this module's names; other names stay."""
    return convert_parts(tensors, {"backbone": to_backbone, "decode_head": _from_published_head})


def _from_published_head(tensors: Tensors) -> Tensors:
    split = {name: name.rpartition(".") for name in tensors}
    return {
        f"{_HEAD_NAMES.get(module, module)}.{leaf}": tensors[name]
        for name, (module, _, leaf) in split.items()
    }


def build(request: BuildRequest) -> nn.Module:
    """Build a SegNeXt, its backbone filled from a published file unless the request asks for none."""
    options = request.options
    network = SegNeXt(
        request.in_channels, request.num_classes, options["variant"], options["md_r"], options["drop_path"]
    )
    if file := request.weights_file:
        network.weights_report = load_backbone(
            network.backbone, file, request.pretrained, to_backbone, CLASSIFIER
        )
    return network
