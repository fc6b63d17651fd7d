"""Builds timm's backbones under a decode head and fills them from a file; downloads nothing."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sources.heads import FPN, PixelNorm, UPer, resize
from bench_sources.timm_limits import for_any_size
from bench_sources.timm_published import output_norm_eps
from bench_sources.timm_source import parts_of

STAGES = 4
FIRST_STRIDE = 4
_CLASSIFIERS = ("head", "head_dist", "fc", "fc_norm", "classifier", "conv_head", "bn2", "norm", "norm_head")
"""What timm's checkpoints hold beyond the stages, for which a segmentation network has no place."""


class TimmSegmenter(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W]: backbone, head, bilinear enlargement.

    The head gets the backbone's last four scales. A backbone of one scale (a vision transformer) is read at
    the quarters of its depth, and these maps are resized to strides 4, 8, 16 and 32. `norm_eps` is that of
    new layer norms behind every stage, None for none.
    """

    weights_report: WeightsReport

    def __init__(self, backbone: nn.Module, head: str, classes: int, norm_eps: float | None = None) -> None:
        super().__init__()
        info: Any = backbone.feature_info
        strides: list[int] = list(info.reduction())
        self.backbone = backbone
        self.is_flat = len(set(strides)) == 1
        # Of several maps of one scale the deepest; some backbones begin at full resolution.
        last = {stride: index for index, stride in enumerate(strides)}
        self.taken = list(range(len(strides))) if self.is_flat else sorted(last.values())[-STAGES:]
        self.is_channels_last = str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC")
        widths = [info.channels()[index] for index in self.taken]
        self.output_norms = nn.ModuleList(
            PixelNorm(width, eps=norm_eps) for width in widths if norm_eps is not None
        )
        self.shallower = nn.ModuleList(nn.Identity() for _ in self.taken[:-1])
        self.deepest = nn.Identity()
        """Whose outputs are the features as the head gets them; for class activation maps."""
        self.decode_head = (UPer if head == "uper" else FPN)(widths, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution."""
        found = self.backbone(images)
        stages = [found[index] for index in self.taken]
        if self.is_channels_last:
            stages = [stage.permute(0, 3, 1, 2).contiguous() for stage in stages]
        if self.output_norms:
            stages = [norm(stage) for norm, stage in zip(self.output_norms, stages, strict=True)]
        stages = [shown(stage) for shown, stage in zip((*self.shallower, self.deepest), stages, strict=True)]
        if self.is_flat:
            strides = [FIRST_STRIDE * 2**level for level in range(len(stages))]
            sizes = [[max(1, side // stride) for side in images.shape[-2:]] for stride in strides]
            stages = [resize(stage, size) for stage, size in zip(stages, sizes, strict=True)]
        return resize(self.decode_head(stages), images.shape[-2:])


def build(request: BuildRequest) -> TimmSegmenter:
    """Build the request's backbone under its head, and load the backbone's weights if it asks for that.

    Raises TrainingError for a backbone that yields no features, or no stochastic depth where a rate is asked
    for, and WeightsError if the weights are not there or do not fit.
    """
    name, head = parts_of(request.name)
    backbone = _features(name, request)
    if len(set(backbone.feature_info.reduction())) == 1:
        depth = len(backbone.feature_info.info)
        quarters = [depth * quarter // STAGES - 1 for quarter in range(1, STAGES + 1)]
        backbone = _features(name, request, out_indices=quarters)
    network = TimmSegmenter(
        backbone, head, request.num_classes, output_norm_eps(name) if head == "uper" else None
    )
    if file := request.weights_file:
        own = backbone.state_dict()
        tensors = {_renamed(key, own): tensor for key, tensor in read_checkpoint(file).items()}
        tensors, notes = sum_over_rgb(own, tensors)
        network.weights_report = load_strictly(
            backbone,
            tensors,
            allowed_unexpected=_CLASSIFIERS,
            source=request.pretrained,
            file=file,
            notes=notes,
        )
    return network


def _features(name: str, request: BuildRequest, **extra: Any) -> Any:
    rate = request.options.get("drop_path")
    if rate is None:
        return _backbone(name, request, **extra)
    try:
        backbone = _backbone(name, request, drop_path_rate=rate, **extra)
    except TrainingError as error:
        if "drop_path_rate" not in (error.cause or ""):
            raise
        backbone = None
    # Some builders take any word and make nothing of it.
    if backbone is None or (rate and not any(getattr(part, "drop_prob", 0) for part in backbone.modules())):
        raise TrainingError(
            f"timm's {name} has no stochastic depth",
            cause=f"it cannot leave out branches at the rate of `drop_path: {rate}`",
            fix="leave `drop_path` out for this backbone",
        )
    return backbone


def _backbone(name: str, request: BuildRequest, **extra: Any) -> Any:
    cause: Exception | None = None
    for wording in for_any_size(request.image_size):
        try:
            return timm.create_model(
                name,
                pretrained=False,
                features_only=True,
                in_chans=request.in_channels,
                **wording,
                **extra,
            )
        except TypeError as error:
            cause = error
        except (AssertionError, AttributeError, KeyError, RuntimeError, ValueError) as error:
            cause = error
            break
    raise TrainingError(
        f"timm {timm.__version__} cannot build {name} as a backbone for {request.image_size} pixels",
        cause=str(cause) or type(cause).__name__,
        fix="choose a backbone that yields features, timm:convnext_tiny for example, or another image size",
    ) from cause


def _renamed(key: str, own: dict[str, Tensor]) -> str:
    """Return a checkpoint's tensor's name in the network of features, which joins the first two parts."""
    joined = key.replace(".", "_", 1)
    return next((name for name in (key, joined, f"model.{key}") if name in own), key)
