"""The optimizer that a protocol names, over parameters that may decay and learn at different rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from bench_core.errors import TrainingError
from bench_core.spec.optimizer import SGD, AdamW, Optimizer

Named = Sequence[tuple[str, nn.Parameter]]
FACTOR = "factor"
"""Key of a parameter group: what the learning rate of a step is multiplied by."""


def build_optimizer(
    settings: Optimizer, model: nn.Module, learning_rate: float, encoder: Sequence[str] = ()
) -> torch.optim.Optimizer:
    """Return adamw, adam or sgd over all trainable parameters, otherwise with torch's defaults.

    adam's weight decay is the L2 penalty of its paper, adamw's is decoupled. There is one group of parameters
    unless the settings part them. `encoder` are prefixes of the names of the encoder's parameters, from its
    input on. Raises TrainingError for a model without a trainable parameter, and for settings of an encoder
    where none is known.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise TrainingError(
            "the model has no trainable parameter",
            cause="every parameter has requires_grad = False",
            fix="unfreeze what is to be trained in the model's builder",
        )
    groups = _groups(settings, model, named, learning_rate, encoder)
    decay = settings.weight_decay
    if isinstance(settings, SGD):
        return torch.optim.SGD(groups, lr=learning_rate, momentum=settings.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if isinstance(settings, AdamW) else torch.optim.Adam
    return kind(groups, lr=learning_rate, betas=settings.betas, weight_decay=decay)


def _groups(
    settings: Optimizer, model: nn.Module, named: Named, learning_rate: float, encoder: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the parameters by factor and decay, in the order in which each pair first occurs."""
    factors = rate_factors(settings, [name for name, _ in named], encoder)
    exempt = undecayed(model) if settings.decay == "weights-only" else frozenset()
    parted: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for (name, parameter), factor in zip(named, factors, strict=True):
        parted.setdefault((factor, name not in exempt), []).append(parameter)
    if parted.keys() == {(1.0, True)}:
        return [{"params": parted[1.0, True]}]
    return [
        {
            "params": parameters,
            "lr": learning_rate * factor,
            "weight_decay": settings.weight_decay if decays else 0.0,
            FACTOR: factor,
        }
        for (factor, decays), parameters in parted.items()
    ]


def rate_factors(settings: Optimizer, names: Sequence[str], encoder: Sequence[str]) -> list[float]:
    """Return the factor of the learning rate of each parameter.

    A parameter of the encoder's layer i of n learns at encoder_factor x layer_decay ** (n - i), i from 0 at
    the input, any other at 1. Layer-wise decay after Clark et al., "ELECTRA", 2020, and Bao et al., "BEiT",
    2022.
    """
    if settings.encoder_factor == 1.0 and settings.layer_decay == 1.0:
        return [1.0] * len(names)
    if not encoder:
        raise TrainingError(
            "the optimizer has settings for an encoder, and the model declares none",
            place="protocol.optimizer",
            cause="encoder_factor and layer_decay need to know which parameters are the encoder's",
            fix="leave them out, in `deviations` of this model too, or declare `Architecture.encoder`",
        )
    layers = [_layer(name, encoder) for name in names]
    absent = [prefix for number, prefix in enumerate(encoder) if number not in layers]
    if absent:
        raise TrainingError(
            f"no trainable parameter belongs to the encoder's {absent[0]!r}",
            place="Architecture.encoder",
            cause="a prefix is whole names between the dots of the names of parameters",
            fix="correct the declaration of the model",
        )
    return [
        1.0 if layer is None else settings.encoder_factor * settings.layer_decay ** (len(encoder) - layer)
        for layer in layers
    ]


def _layer(name: str, encoder: Sequence[str]) -> int | None:
    found = [number for number, prefix in enumerate(encoder) if f"{name}.".startswith(f"{prefix}.")]
    # Of prefixes in each other the longest says most.
    return max(found, key=lambda number: len(encoder[number])) if found else None


def undecayed(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters without weight decay under `weights-only`.

    Those of norms, biases and everything else of one dimension or none, as is usual since He et al., "Bag of
    Tricks", 2019, and those that a module names in its `no_weight_decay()`, timm's custom for position
    embeddings and the like.
    """
    names: set[str] = set()
    for prefix, module in model.named_modules():
        dot = f"{prefix}." if prefix else ""
        own = dict(module.named_parameters(recurse=False))
        names |= {
            dot + name
            for name, parameter in own.items()
            if parameter.ndim <= 1 or name.endswith("bias") or "norm" in type(module).__name__.lower()
        }
        said = getattr(module, "no_weight_decay", None)
        if callable(said):
            names |= {dot + name for name in _texts(said())}
    return frozenset(names)


def _texts(names: object) -> Iterable[str]:
    return [name for name in names if isinstance(name, str)] if isinstance(names, Iterable) else []
