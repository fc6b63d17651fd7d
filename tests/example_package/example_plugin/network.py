"""Two convolutions and a norm."""

from __future__ import annotations

from torch import Tensor, nn

from bench_core import BuildRequest


class ExampleNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W]."""

    def __init__(self, in_channels: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.norm(self.body(images)).relu())
        return logits


def build(request: BuildRequest) -> nn.Module:
    """Build the network that the request describes."""
    return ExampleNet(request.in_channels, request.num_classes, request.options["width"])
