"""The protocol's loss on full-resolution logits, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from bench_core.declarations import Task
from bench_core.errors import TrainingError
from bench_core.protocol.pixel_losses import (
    binary_cross_entropy,
    cross_entropy,
    divisor,
    focal,
    pixel_weights,
)
from bench_core.protocol.ranks import ALONE, Ranks, cut
from bench_core.protocol.region_losses import dice, region_sums, tversky
from bench_core.spec import loss as spec

Pixels = Callable[[], Sequence[int]]
"""Number of training pixels of each class, background first; asked only where a loss needs it."""


class Criterion:
    """A weighted sum of losses.

    `class_weights` are the weights that were computed from the training pixels, by loss and class; empty
    where none were.
    """

    def __init__(self, losses: spec.Losses, task: Task, pixels: Pixels | None = None) -> None:
        self.class_weights: dict[str, dict[str, float]] = {}
        # By name, so that two specs that write the same sum in another order add in the same order.
        self._terms = [
            (term.weight, _build(term, self._weights(name, term, task, pixels)))
            for name, term in losses.terms()
        ]

    def __call__(
        self,
        logits: Tensor,
        masks: Tensor,
        whole: Tensor | None = None,
        *,
        share: float | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """Return the scalar loss of logits [B, K, H, W] float32 against masks [B, H, W] int64.

        Of a part of a batch, with the masks of the `whole` batch, it is the part's share: means over pixels
        add up to that of the batch, while losses of regions are the mean over the parts, weighted by the
        `share` of the batch's images that each has.

        With several `ranks`, logits and both masks are those of this process's images. What they hand back
        adds up to the loss of all images, and so do its gradients, exactly: sums over the pixels of a batch
        are exchanged before anything is computed from them. Each process has to ask for it, or call
        `take_part`.
        """
        whole = masks if whole is None else whole
        share = len(masks) / len(whole) if share is None else share
        sums = [term.sums(logits, masks, whole) for _, term in self._terms]
        if ranks.several:
            sums = _over_ranks(sums, ranks)
        parts = [
            weight * term.value(logits, masks, total, share, ranks.first)
            for (weight, term), total in zip(self._terms, sums, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    def take_part(self, channels: int, whole: Tensor, ranks: Ranks) -> None:
        """Add to what the other processes sum where this one has no image of a part of the batch.

        `whole` are its masks [B, H, W] of the whole batch, of which it may have no image either.
        """
        logits = torch.zeros(0, channels, *whole.shape[1:], device=whole.device)
        _over_ranks([term.sums(logits, whole[:0], whole) for _, term in self._terms], ranks)

    def _weights(self, name: str, term: spec.Term, task: Task, pixels: Pixels | None) -> list[float] | None:
        given = getattr(term, "weights", "equal")
        classes = ("background", *task.classes)
        if isinstance(given, Mapping):
            unknown = sorted(given.keys() - set(classes))
            if unknown:
                raise TrainingError(
                    f"the loss {name!r} gives weights to classes that do not exist: {', '.join(unknown)}",
                    cause=f"the classes are {', '.join(classes)}",
                    fix="correct the names under `weights`",
                )
            return [given.get(label, 1.0) for label in classes]
        if given == "equal":
            return None
        if pixels is None:
            raise TrainingError(f"the loss {name!r} needs the training pixels of each class")
        weights = inverse_frequencies(pixels())
        self.class_weights[name] = dict(zip(classes, weights, strict=True))
        return weights


def build_loss(losses: spec.Losses, task: Task, pixels: Pixels | None = None) -> Criterion:
    """Return the sum of losses; raise TrainingError where one does not fit the task."""
    names = [name for name, _ in losses.terms()]
    if not names:
        raise TrainingError("the loss is a sum of nothing", fix="name a loss, for example `loss: auto`")
    wrong, usual = ("cross-entropy", "bce") if task.binary else ("bce", "cross-entropy")
    if wrong in names:
        raise TrainingError(
            f"the loss {wrong!r} does not fit a task with {task.logit_channels} logit channel(s)",
            cause="bce is for one foreground class, cross-entropy for several",
            fix=f"use {usual!r}, 'dice', 'focal', 'tversky' or a sum of them",
        )
    return Criterion(losses, task, pixels)


def inverse_frequencies(pixels: Sequence[int]) -> list[float]:
    """Return n / (k n_c) for each class of n_c pixels, 0 where there are none; n pixels of k classes in all.

    The mean weight of a pixel is 1. King and Zeng, "Logistic Regression in Rare Events Data", 2001.
    """
    present = [count for count in pixels if count]
    return [sum(present) / (len(present) * count) if count else 0.0 for count in pixels]


class Term(Protocol):
    """One loss, in two steps: sums over the pixels of a batch, then what is computed from them."""

    def sums(self, logits: Tensor, masks: Tensor, whole: Tensor) -> Tensor:
        """Return the sums, of an equal number for each batch; of fewer images they are smaller."""

    def value(self, logits: Tensor, masks: Tensor, sums: Tensor, share: float, first: bool) -> Tensor:
        """Return a scalar for these pixels, with the sums of all."""


def _build(term: spec.Term, weights: list[float] | None) -> Term:
    if isinstance(term, spec.Dice):
        return _Regions(dice)
    if isinstance(term, spec.Tversky):
        return _Regions(partial(tversky, alpha=term.alpha, beta=term.beta))
    if isinstance(term, spec.BinaryCrossEntropy):
        return _Mean(partial(binary_cross_entropy, smoothing=term.label_smoothing), weights)
    if isinstance(term, spec.CrossEntropy):
        return _Mean(partial(cross_entropy, smoothing=term.label_smoothing), weights)
    if isinstance(term, spec.Focal):
        return _Mean(partial(focal, gamma=term.gamma, alpha=term.alpha), weights)
    raise TypeError(f"no loss is built from {type(term).__name__}")


class _Mean:
    """The mean over pixels, weighted by their classes where there are weights."""

    def __init__(
        self, loss: Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor], weights: list[float] | None
    ) -> None:
        self._loss = loss
        self._table = None if weights is None else torch.tensor(weights, dtype=torch.float64)

    def sums(self, logits: Tensor, masks: Tensor, whole: Tensor) -> Tensor:
        return pixel_weights(whole, self._here(logits))

    def value(self, logits: Tensor, masks: Tensor, sums: Tensor, share: float, first: bool) -> Tensor:
        return self._loss(logits, masks, self._here(logits), divisor(sums))

    def _here(self, logits: Tensor) -> Tensor | None:
        return None if self._table is None else self._table.to(logits)


class _Regions:
    """A loss of regions, of a part of a batch by its share of the images."""

    def __init__(self, loss: Callable[[Tensor], Tensor]) -> None:
        self._loss = loss

    def sums(self, logits: Tensor, masks: Tensor, whole: Tensor) -> Tensor:
        return region_sums(logits, masks)

    def value(self, logits: Tensor, masks: Tensor, sums: Tensor, share: float, first: bool) -> Tensor:
        value = self._loss(sums)
        value = value if share == 1.0 else value * share
        # Each process has the whole value, with the gradient of its own pixels: only one hands it back.
        return value if first else value - value.detach()


def _over_ranks(sums: Sequence[Tensor], ranks: Ranks) -> list[Tensor]:
    """Return the sums over all processes, with the gradients of this one's; all in one exchange."""
    flat = ranks.sum(torch.cat([one.detach().double().flatten() for one in sums]))
    # The difference is exactly 0; it carries the gradient.
    return [
        one - one.detach() + total.view_as(one).to(one.dtype)
        for one, total in zip(sums, cut(flat, sums), strict=True)
    ]


def check_logits(logits: object, masks: Tensor, task: Task) -> None:
    """Raise TrainingError unless logits are one tensor [B, K, H, W] for masks [B, H, W] and the task's K."""
    if not isinstance(logits, Tensor):
        raise _no_tensor(logits)
    expected = (masks.shape[0], task.logit_channels, *masks.shape[1:])
    if tuple(logits.shape) != expected:
        raise TrainingError(
            f"the model returned logits of shape {list(logits.shape)} instead of {list(expected)}",
            cause="logits are [B, K, H, W] at the masks' resolution; K is 1 for a binary task, otherwise "
            "classes with background",
            fix="correct the model's builder: its head's channels (request.num_classes) or its upsampling",
        )


def _no_tensor(found: object) -> TrainingError:
    kind = type(found).__name__
    if isinstance(found, Mapping):
        inside = f"a mapping with {', '.join(map(repr, list(found)[:5]))}"
    elif isinstance(found, (tuple, list)):
        inside = f"a sequence of {len(found)}"
    else:
        inside = f"a value of type {kind}"
    fix = "let the builder return a network whose forward gives the logits only, in training too"
    if isinstance(found, Mapping) and "out" in found:
        fix += ": a module that calls the network and returns its 'out'"
    return TrainingError(
        f"the network returns {kind}, not one tensor of logits", cause=f"it is {inside}", fix=fix
    )
