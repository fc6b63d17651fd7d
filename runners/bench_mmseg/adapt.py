"""Turns the `model` part of an MMSegmentation config into what the protocol compares: the network alone."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_mmseg.zoo import own_training

CLASSES_COMPETE = ("SegmenterMaskTransformerHead", "IterativeDecodeHead", "OCRHead")
"""Heads that normalize over the classes inside: with a single class they would compute a constant there."""
SEGMENTORS = ("EncoderDecoder", "CascadeEncoderDecoder")
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_FIX = "register an architecture whose builder returns a network with logits"
_LOSSES = ("loss_decode", "loss_se_decode")
Config = dict[str, Any]


@dataclass
class Adapted:
    """The parts of a network as build settings, and what was changed to get them."""

    backbone: Config
    neck: Config | None
    heads: list[Config]
    pair: bool
    """Two class channels inside, whose difference is the one logit of a binary task."""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a sentence for the report, once."""
        if text not in self.notes:
            self.notes.append(text)


def adapt(model: Mapping[str, Any], request: BuildRequest) -> Adapted:
    """Return the build settings for the request's classes, channels and image size; the input stays as it is.

    Raises TrainingError for a segmentor that is more than backbone, neck and decode heads, or that a loss on
    logits cannot train.
    """
    reason = own_training(model)
    if reason is not None:
        raise TrainingError("cannot train this network under the protocol", cause=reason, fix=_FIX)
    model = copy.deepcopy(dict(model))
    if model.get("type") not in SEGMENTORS:
        raise TrainingError(
            f"cannot take the network out of a {model.get('type')}",
            cause=f"only {' and '.join(SEGMENTORS)} are a backbone, a neck and decode heads in a row",
            fix=_FIX,
        )
    heads = model["decode_head"]
    heads = [dict(head) for head in heads] if isinstance(heads, list | tuple) else [dict(heads)]
    compete = any(head.get("type") in CLASSES_COMPETE for head in heads)
    adapted = Adapted(
        backbone=dict(model["backbone"]),
        neck=dict(model["neck"]) if model.get("neck") else None,
        heads=heads,
        pair=compete and request.num_classes == 1,
    )
    _drop_auxiliary(model, adapted)
    for index, head in enumerate(heads):
        _adapt_head(head, adapted, 2 if adapted.pair else request.num_classes, index)
    if adapted.pair:
        adapted.note("two class channels inside, whose difference is the logit: its classes compete")
    _adapt_backbone(adapted.backbone, "backbone", adapted, request)
    for part in _dicts([adapted.backbone, adapted.neck, heads]):
        _drop_checkpoints(part)
        if part.get("type") in ("SyncBN", "MMSyncBN"):
            part["type"] = "BN"
            adapted.note("SyncBN -> BN")
    _note_preprocessing(model, adapted)
    return adapted


def _drop_auxiliary(model: Mapping[str, Any], adapted: Adapted) -> None:
    auxiliary = model.get("auxiliary_head") or []
    auxiliary = auxiliary if isinstance(auxiliary, list | tuple) else [auxiliary]
    if auxiliary:
        kinds = ", ".join(str(head.get("type")) for head in auxiliary)
        adapted.note(f"auxiliary_head {kinds} dropped")


def _head_name(index: int, heads: list[Config]) -> str:
    return "decode_head" if len(heads) == 1 else f"decode_head.{index}"


def _adapt_head(head: Config, adapted: Adapted, classes: int, index: int) -> None:
    where = _head_name(index, adapted.heads)
    for part in _dicts(head):
        for key in _LOSSES:
            if key not in part:
                continue
            losses = part.pop(key)
            losses = losses if isinstance(losses, list | tuple) else [losses]
            kinds = ", ".join(dict.fromkeys(str(loss.get("type")) for loss in losses))
            is_last = index == len(adapted.heads) - 1
            adapted.note(
                f"{kinds} of {where} {'replaced by' if is_last else 'dropped: only the last head has'} "
                "the protocol's loss"
            )
        if part.pop("sampler", None):
            adapted.note(f"pixel sampler of {where} dropped")
        if "num_classes" not in part:
            continue
        part["num_classes"] = classes
        kind = MODELS.get(part.get("type", ""))
        if inspect.isclass(kind) and issubclass(kind, BaseDecodeHead):
            part.pop("out_channels", None)
            part.pop("threshold", None)
        if part.get("type") == "EncHead" and part.get("use_se_loss", True):
            part["use_se_loss"] = False
            adapted.note(f"semantic encoding branch of {where} dropped with its loss")


def _adapt_backbone(config: Config, name: str, adapted: Adapted, request: BuildRequest) -> None:
    accepted = _parameters(config.get("type", ""))
    if "in_channels" in accepted:
        config["in_channels"] = request.in_channels
    size = (request.image_size, request.image_size)
    for key in ("img_size", "pretrain_img_size"):
        if key not in accepted or (key == "pretrain_img_size" and not config.get("use_abs_pos_embed")):
            continue
        published = config.get(key, accepted[key].default)
        if _pair(published) != size:
            adapted.note(f"{key} of {name} {published} -> {request.image_size}")
        config[key] = size
    if isinstance(config.get("frozen_stages"), int) and config["frozen_stages"] >= 0:
        config["frozen_stages"] = -1
        adapted.note(f"frozen stages of {name} are trained")
    if isinstance(config.get("backbone_cfg"), dict):
        _adapt_backbone(config["backbone_cfg"], f"{name}.backbone", adapted, request)


def _drop_checkpoints(config: Config) -> None:
    if "pretrained" in config or config.get("type") == "TIMMBackbone":
        config["pretrained"] = False if config.get("type") == "TIMMBackbone" else None
    config.pop("checkpoint_path", None)
    initial = config.get("init_cfg")
    if initial is None:
        return
    items = initial if isinstance(initial, list | tuple) else [initial]
    rest = [item for item in items if not str(item.get("type")).startswith("Pretrained")]
    if len(rest) < len(items):
        config["init_cfg"] = rest or None


def _note_preprocessing(model: Mapping[str, Any], adapted: Adapted) -> None:
    mean = (model.get("data_preprocessor") or {}).get("mean")
    if mean is not None and tuple(mean) != _IMAGENET_MEAN:
        adapted.note(f"normalization with mean {list(mean)} replaced by the protocol's")
    test = model.get("test_cfg") or {}
    if test.get("mode") == "slide":
        adapted.note(f"inference in windows of {test.get('crop_size')} replaced by whole images")


def _parameters(kind: str) -> Mapping[str, inspect.Parameter]:
    found = MODELS.get(kind)
    return inspect.signature(found).parameters if found is not None else {}


def _pair(size: Any) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _dicts(value: Any) -> Iterator[Config]:
    if isinstance(value, dict):
        yield value
        for item in list(value.values()):
            yield from _dicts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _dicts(item)
