"""Builds networks of segmentation_models_pytorch and fills their encoders; downloads nothing."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_core.taps import name_output
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sources import efficientnet_lite
from bench_sources.smp_source import DEEPEST, LITE0_ENCODER, parts_of, shallower_of
from bench_sources.timm_limits import for_any_size, is_of_fixed_size

_CLASSIFIERS = ("fc", "_fc", "classifier", "last_linear", "head", "heads")
"""Classification heads in encoders' published checkpoints, for which a segmentation network has no place."""


def build(request: BuildRequest) -> nn.Module:
    """Build the request's decoder on its encoder, and load the encoder's weights if it asks for that.

    `weights_report` of the result says what was loaded. Raises TrainingError for an encoder that does not
    exist or does not go with the decoder, WeightsError if the weights are not there or do not fit.
    """
    found, encoder = parts_of(request.name)
    decoder = found.class_name
    network = _construct(decoder, encoder, request)
    name_output(network, "encoder", DEEPEST, shallower_of(decoder.lower()))
    if file := request.weights_file:
        report = _load_encoder(network.get_submodule("encoder"), encoder, file, request.pretrained)
        network.weights_report = report  # type: ignore[assignment]
    return network


def _construct(decoder: str, encoder: str, request: BuildRequest) -> nn.Module:
    wordings: tuple[dict[str, Any], ...] = ({},)
    if decoder == "DPT":
        wordings = ({"dynamic_img_size": True},)
    elif encoder.startswith("tu-") and is_of_fixed_size(encoder.removeprefix("tu-")):
        wordings = for_any_size(request.image_size)
    cause: Exception | None = None
    for wording in wordings:
        try:
            with warnings.catch_warnings():
                # Its own encoders named `timm-` announce their successors, which changes nothing here.
                warnings.simplefilter("ignore", DeprecationWarning)
                network: nn.Module = getattr(smp, decoder)(
                    encoder_name=encoder,
                    encoder_weights=None,
                    in_channels=request.in_channels,
                    classes=request.num_classes,
                    **wording,
                )
            return network
        except TypeError as error:
            cause = error
        except (AssertionError, KeyError, RuntimeError, ValueError) as error:
            cause = error
            break
    raise TrainingError(
        f"segmentation_models_pytorch {smp.__version__} cannot build {decoder} on {encoder}",
        cause=str(cause),
        fix=_nearest_encoder(encoder),
    ) from cause


def _nearest_encoder(encoder: str) -> str:
    import timm

    if not encoder.startswith("tu-") or timm.is_model(encoder[3:]):
        return "choose another encoder for this decoder"
    near = difflib.get_close_matches(encoder[3:], timm.list_models(), n=1)
    return f"tu-{near[0]} has the nearest name" if near else "see timm.list_models() for the names"


def _load_encoder(module: nn.Module, encoder: str, file: Path, source: str) -> WeightsReport:
    tensors = read_checkpoint(file)
    heads: Sequence[str] = _CLASSIFIERS
    notes: list[str] = []
    if encoder == LITE0_ENCODER:
        tensors = efficientnet_lite.to_timm(tensors, str(file))
        heads = efficientnet_lite.CLASSIFIER
        notes.append(efficientnet_lite.NOTE)
    own = module.state_dict()
    inside = "model." if all(name.startswith("model.") for name in own) else ""
    if inside and not any(name.startswith(inside) for name in tensors):
        # timm's encoders lie one level deeper here than in timm's own checkpoints.
        tensors = {inside + name: tensor for name, tensor in tensors.items()}
        heads = [inside + head for head in heads]
    tensors, summed = sum_over_rgb(own, tensors)
    notes += summed
    return load_strictly(module, tensors, allowed_unexpected=heads, source=source, file=file, notes=notes)
