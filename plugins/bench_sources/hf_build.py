"""Builds transformers' networks from a config and fills them from a local file; downloads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.errors import TrainingError, WeightsError
from bench_core.taps import name_input
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sources.hf_networks import KINDS, SHALLOWER, Kind
from bench_sources.hf_source import CHECKPOINT, config_of

_OF_ONE_CHECKPOINT = (
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "torch_dtype",
    "transformers_version",
)
"""Parts of a config that tell of one set of weights, not of the network."""
_LEFT_OVER = ("auxiliary_head", "classifier", "decode_head", "distillation_classifier", "pooler", "layernorm")
_SHOWN = 3


class HfSegmenter(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W]: a network of transformers and bilinear enlargement."""

    weights_report: WeightsReport

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        name_input(self, f"network.{KINDS[cast(Any, network).config.model_type].head}", before=SHALLOWER)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a copy is made: from config and state, since transformers' hooks cannot be pickled."""
        network: Any = self.network
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        device = next(network.parameters()).device
        return _restored, (type(network), network.config, network.state_dict(), device, own)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution."""
        logits: Tensor = self.network(pixel_values=images).logits
        if logits.shape[-2:] == images.shape[-2:]:
            return logits
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _restored(
    cls: Any, config: Any, state: Mapping[str, Tensor], device: torch.device, own: Mapping[str, Any]
) -> HfSegmenter:
    with torch.random.fork_rng(devices=[]):
        network = cls(config)
    network.load_state_dict(state, assign=True)
    module = HfSegmenter(network.to(device))
    for name, value in own.items():
        setattr(module, name, value)
    return module.train(module.training)


def build(request: BuildRequest) -> HfSegmenter:
    """Build the network of the config that the request names, filled from its checkpoint if it asks for that.

    Raises TrainingError for what the installed transformers does not build, WeightsError if the weights are
    not there or do not fit.
    """
    name = request.name
    config, _ = config_of(name)
    kind = KINDS[config["model_type"]]
    try:
        cls = getattr(transformers, kind.class_name)
        network = cls(network_config(config, request))
    except Exception as error:  # what a config may hold, and what classes make of it, has no limits
        raise TrainingError(
            f"transformers {transformers.__version__} cannot build {name}",
            cause=f"{type(error).__name__}: {' '.join(str(error).split())}",
            fix="fix the config, or choose another network",
        ) from error
    module = HfSegmenter(network)
    if weights := request.weights_file:
        module.weights_report = _fill(network, kind, config, weights)
    return module


def network_config(config: Mapping[str, Any], request: BuildRequest) -> Any:
    """Return transformers' config for the request's channels and classes, and for its size where it must."""
    kind = KINDS[config["model_type"]]
    values = {key: value for key, value in config.items() if key not in _OF_ONE_CHECKPOINT}
    if isinstance(values.get("backbone_config"), dict):
        values["backbone_config"] = {**values["backbone_config"], "num_channels": request.in_channels}
    if kind.takes_size:
        values["image_size"] = request.image_size
    if kind.has_auxiliary_head:
        values["use_auxiliary_head"] = False
    values |= {"num_channels": request.in_channels, "num_labels": request.num_classes}
    return transformers.AutoConfig.for_model(config["model_type"], **values)


def _fill(network: nn.Module, kind: Kind, config: Mapping[str, Any], file: Path) -> WeightsReport:
    """Load the checkpoint of `config` but for the classifier; one of a backbone alone leaves its decoder."""
    is_whole = kind.class_name in (config.get("architectures") or [kind.class_name])
    donor, missing, unexpected = _donor(network, config, file)
    prefix = f"{donor.base_model_prefix}."
    own_missing = [name for name in missing if is_whole or name.startswith(prefix)]
    strange = [name for name in unexpected if not name.startswith(_LEFT_OVER)]
    own_missing = [name for name in own_missing if not name.startswith(f"{kind.classifier}.")]
    if own_missing or strange:
        raise WeightsError(
            f"weights do not fit {kind.class_name}: {len(own_missing)} missing{_some(own_missing)}, "
            f"{len(strange)} unexpected{_some(strange)}",
            place=str(file),
            fix="give the file that belongs to this config, or `pretrained: none`",
        )
    notes = [f"{kind.classifier} starts at random, for the classes at hand"]
    if not is_whole:
        notes.append(f"a checkpoint of {', '.join(config['architectures'])}: the decoder starts at random")
    drawn = {*missing, *(name for name in donor.state_dict() if name.startswith(f"{kind.classifier}."))}
    tensors = {name: tensor for name, tensor in donor.state_dict().items() if name not in drawn}
    tensors, summed = sum_over_rgb(network.state_dict(), tensors)
    return load_strictly(
        network,
        tensors,
        allowed_missing=(*drawn, kind.classifier),
        source=CHECKPOINT,
        file=file,
        notes=(*notes, *summed),
    )


def _donor(network: nn.Module, config: Mapping[str, Any], file: Path) -> tuple[Any, list[str], list[str]]:
    """Return the network that the checkpoint was saved from, and which tensors are missing and unexpected.

    transformers loads it, since it alone knows under which names its earlier versions saved.
    """
    tensors = read_checkpoint(file)
    own: Any = network
    labels = config.get("num_labels") or len(config.get("id2label") or {}) or 2
    size = config.get("image_size") or 0
    channels = (config.get("backbone_config") or config).get("num_channels", 3)
    request = BuildRequest(in_channels=channels, num_classes=labels, image_size=size, pretrained=CHECKPOINT)
    try:
        with _quiet():
            donor, found = type(own).from_pretrained(
                None,
                config=network_config(config, request),
                state_dict=tensors,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # from_pretrained raises nearly anything for tensors that do not fit
        raise WeightsError(
            f"weights do not fit {type(own).__name__}",
            place=str(file),
            cause=" ".join(str(error).split()),
            fix="give the file that belongs to this config, or `pretrained: none`",
        ) from error
    return donor, sorted(found["missing_keys"]), sorted(found["unexpected_keys"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing a bar, and a table of the tensors that are left out."""
    logs = transformers.logging
    before, had_bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(before)
        if had_bars:
            logs.enable_progress_bar()


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f" ({', '.join(names[:_SHOWN])}{more})" if names else ""
