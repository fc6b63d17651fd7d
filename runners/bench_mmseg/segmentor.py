"""Networks of MMSegmentation as plain modules: images in, logits at the images' size out, no loss inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import mmseg.models  # noqa: F401  (registers the networks)
import torch
from mmengine.model import BaseModule, revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmseg.models.decode_heads import ema_head
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.errors import BenchError, TrainingError
from bench_core.protocol.whole_batch import whole_mean
from bench_mmseg.adapt import Adapted, adapt

MOST_SCALES = 7
"""Scales before the deepest that have names."""
_AUXILIARY = {
    "PIDHead": ("p_head", "p_cls_seg", "d_head", "d_cls_seg"),
    "DDRHead": ("aux_head", "aux_cls_seg"),
    "DAHead": ("pam_conv_seg", "cam_conv_seg"),
}
"""Branches that only serve losses of their own, by head."""
# EMANet's own would weigh all processes alike, and wait for those that have no images.
ema_head.reduce_mean = whole_mean


class Segmentor(BaseModule):
    """A backbone, a neck and decode heads in a row.

    Maps images [B, C, H, W] to logits [B, K, H, W], in training as in evaluation. The names of its parameters
    are those of mmseg's EncoderDecoder and CascadeEncoderDecoder, and so are its initial weights.
    """

    network_notes: tuple[str, ...]
    dropped: tuple[str, ...]
    """Names of parts that mmseg's network has for losses of its own."""

    def __init__(self, adapted: Adapted, in_channels: int) -> None:
        super().__init__()
        self.backbone = MODELS.build(adapted.backbone)
        _fit_stem(self.backbone, in_channels)
        self.neck = MODELS.build(adapted.neck) if adapted.neck else None
        heads = [MODELS.build(head) for head in adapted.heads]
        notes = list(adapted.notes)
        dropped: list[str] = []
        for index, head in enumerate(heads):
            kind = type(head).__name__
            _strip(head)
            prefix = "decode_head." if len(heads) == 1 else f"decode_head.{index}."
            dropped += [prefix + name for name in _AUXILIARY.get(kind, ())]
            notes += [f"auxiliary branches of {kind} dropped"] if kind in _AUXILIARY else []
        # A plain ModuleList has no init_weights: mmseg, too, leaves a cascade's heads as torch made them.
        self.decode_head = nn.ModuleList(heads) if len(heads) > 1 else heads[0]
        self.scales = nn.ModuleList(nn.Identity() for _ in range(MOST_SCALES))
        self.deepest = nn.Identity()
        """Whose outputs are the features as the heads get them, of each scale before the deepest and of that;
        for class activation maps."""
        self.align_corners: bool = getattr(heads[-1], "align_corners", False)
        self.pair = adapted.pair
        self.network_notes = tuple(notes)
        self.dropped = tuple(dropped)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, K, H, W] for images [B, C, H, W]."""
        features = self.backbone(images)
        if self.neck is not None:
            features = self.neck(features)
        features = self._shown(features)
        heads = list(self.decode_head) if isinstance(self.decode_head, nn.ModuleList) else [self.decode_head]
        logits = _decode(heads[0], features)
        for head in heads[1:]:
            logits = _logits_of(head(features, logits))
        if self.pair:
            logits = logits[:, 1:] - logits[:, :1]
        if logits.shape[-2:] == images.shape[-2:]:
            return logits
        return functional.interpolate(
            logits, size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )

    def _shown(self, features: Any) -> Any:
        """Return the features, each through the module that names it."""
        if not isinstance(features, list | tuple) or not isinstance(features[-1], Tensor):
            return features
        named = [*self.scales][: len(features) - 1]
        before = [
            shown(maps) if isinstance(maps, Tensor) else maps
            for shown, maps in zip(named, features, strict=False)
        ]
        return [*before, *features[len(before) : -1], self.deepest(features[-1])]

    def _dump_init_info(self) -> None:
        """Print nothing: mmengine lists every parameter with how it was initialized."""


def build_segmentor(model: Mapping[str, Any], request: BuildRequest) -> Segmentor:
    """Build the network of a config's `model` part for the request's classes, channels and image size.

    Weights are the config's own initialization under torch's global seed; nothing is downloaded, and the
    request's `pretrained` is not read (see bench_mmseg.pretrained). `network_notes` of the result says what
    was changed. Raises TrainingError if mmseg cannot build it.
    """
    try:
        with _quiet():
            adapted = adapt(model, request)
            network = Segmentor(adapted, request.in_channels)
            network = cast(Segmentor, revert_sync_batchnorm(network))
            network.init_weights()
    except BenchError:
        raise
    except Exception as error:  # a config can fail in any way that Python code can
        raise TrainingError(
            "mmseg cannot build this network",
            cause=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix="correct the config's `model`, or choose another",
        ) from error
    return network


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        DefaultScope.overwrite_default_scope("mmseg"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _fit_stem(backbone: nn.Module, channels: int) -> None:
    """Replace the first convolution where a backbone takes three channels and no other number."""
    for name, module in backbone.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.in_channels == channels or module.in_channels != 3:
            return
        parent, _, attribute = name.rpartition(".")
        stem = type(module)(
            channels,
            module.out_channels,
            cast("tuple[int, int]", module.kernel_size),
            stride=cast("tuple[int, int]", module.stride),
            padding=cast("tuple[int, int]", module.padding),
            dilation=cast("tuple[int, int]", module.dilation),
            bias=module.bias is not None,
        )
        setattr(backbone.get_submodule(parent), attribute, stem)
        return


def _strip(head: nn.Module) -> None:
    """Remove losses and the branches that only they read."""
    for module in head.modules():
        for name in ("loss_decode", "loss_se_decode"):
            if hasattr(module, name):
                delattr(module, name)
    for name in _AUXILIARY.get(type(head).__name__, ()):
        # An empty part stays: some heads call all their branches and return the first.
        setattr(head, name, nn.Identity())


def _decode(head: nn.Module, features: Any) -> Tensor:
    kind = type(head).__name__
    if kind == "PIDHead":
        # Three branches in training, the integral one alone in evaluation.
        own = features[1] if isinstance(features, tuple | list) else features
        return cast(Tensor, head.i_head(own, head.cls_seg))  # type: ignore[operator]
    if kind == "DDRHead":
        own = features[-1] if isinstance(features, tuple | list) else features
        return cast(Tensor, head.cls_seg(head.head(own)))  # type: ignore[operator]
    return _logits_of(head(features))


def _logits_of(output: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the logits of a head that may return more.

    Lists are refined stage by stage (K-Net) and end with the result; tuples begin with it and continue with
    outputs for losses of their own (DANet).
    """
    if isinstance(output, torch.Tensor):
        return output
    return output[-1] if isinstance(output, list) else output[0]
