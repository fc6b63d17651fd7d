"""What general-purpose models share: backbone and decode head in one network, and how weights get into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb

Tensors = dict[str, Tensor]


class EncoderDecoder(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W]: the decode head's logits, enlarged bilinearly.

    `backbone` maps images to stage features, finest first, and `decode_head` those to low-resolution logits.
    """

    weights_report: WeightsReport

    def __init__(self, backbone: nn.Module, decode_head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution."""
        return resize(self.decode_head(self.backbone(images)), images.shape[-2:])


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps [B, C, h, w] bilinearly to size (H, W), aligned at pixels' outer edges."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def load_backbone(
    backbone: nn.Module,
    file: Path,
    source: str,
    convert: Callable[[Tensors], Tensors],
    drops: Sequence[str],
    missing: Sequence[str] = (),
) -> WeightsReport:
    """Fill a backbone from a published file, whose names may begin with `backbone.`.

    `convert` renames the file's tensors to the backbone's; only those that begin with one of `drops` may be
    left over. Tensors named in `missing` may be absent, all of them or none. Raises WeightsError if anything
    else is missing, unexpected or of another shape.
    """
    tensors = convert(without_prefix(read_checkpoint(file), "backbone."))
    tensors, notes = sum_over_rgb(backbone.state_dict(), tensors)
    return load_strictly(
        backbone,
        tensors,
        allowed_missing=() if any(name in tensors for name in missing) else missing,
        allowed_unexpected=drops,
        source=source,
        file=file,
        notes=notes,
    )


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return the tensors, the prefix taken from every name that has it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def convert_parts(
    tensors: Mapping[str, Tensor], parts: Mapping[str, Callable[[Tensors], Tensors]]
) -> Tensors:
    """Convert a whole network's tensors, those below each part's name by the part's own converter.

    Names below none of the parts stay as they are.
    """
    converted: Tensors = {}
    for part, convert in parts.items():
        prefix = f"{part}."
        inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        converted |= {prefix + name: tensor for name, tensor in convert(inside).items()}
    others = {name: t for name, t in tensors.items() if name.partition(".")[0] not in parts}
    return converted | others
