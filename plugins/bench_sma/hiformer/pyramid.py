"""HiFormer's encoder: a ResNet, and Swin Transformer blocks over its features (the paper's figure 2, left).

Each of three levels adds the ResNet's features, projected to the level's width, to what Swin blocks make of
the level above; the ResNet gets nothing back.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import resnet

from bench_sma.swin_blocks import PatchMerging, to_grid, to_maps

_RGB = 3


class ConvolutionalPyramid(nn.Module):
    """The first three stages of torchvision's ResNet: images to features at strides 4, 8 and 16."""

    def __init__(self, in_channels: int, block: str, depths: Sequence[int]) -> None:
        super().__init__()
        kind = {"basic": resnet.BasicBlock, "bottleneck": resnet.Bottleneck}[block]
        # The fourth stage is built by torchvision with the others, and left behind.
        whole = resnet.ResNet(kind, [*depths, 1], num_classes=1)
        if in_channels != _RGB:
            whole.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(whole.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3 = whole.layer1, whole.layer2, whole.layer3
        self.widths = [stage * kind.expansion for stage in (64, 128, 256)]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three stages' features, finest first."""
        fine = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        middle = self.layer2(fine)
        return fine, middle, self.layer3(middle)


class Level(nn.Module):
    """One resolution of the pyramid, of `width` channels."""

    def __init__(
        self, convolutional_width: int, width: int, blocks: nn.Sequential, merge: PatchMerging | None
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(convolutional_width, width, 1)
        self.merge = merge
        self.blocks = blocks

    def forward(self, convolved: Tensor, above: Tensor | None) -> Tensor:
        """Return maps [B, C, h, w] of the ResNet's at this resolution and the level above's, if any."""
        projected: Tensor = self.project(convolved)
        if self.merge is None or above is None:
            return projected + to_maps(self.blocks(to_grid(projected)))
        return to_maps(self.blocks(self.merge(to_grid(above)))) + projected
