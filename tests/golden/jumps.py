"""Input gradients in single precision, told apart from wrong ones where a rounded decision makes them jump.

The network decides as its double does: what is left is rounding, and a difference that stays is a fault. A
reference that was itself computed in single precision has rounded decisions of its own. Those are sought
among the few rectified values that lie within rounding of an edge. One run along what is left of the
difference says of all of them how much of it each would explain; the gradient of a promising one says
whether it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.golden.decisions import Decisions, Layer, Noted, Place
from tests.helpers.golden import Golden

Run = Callable[[nn.Module, Tensor], tuple[Tensor, Sequence[Tensor]]]
CLOSE = 1e-5
"""Nearer to an edge than this part of a layer's usual value, rounding decides the side."""
EXPLAINED = 1e-5
"""What is left below this part of the largest gradient is rounding."""
ROUNDS = 4
TRIED_AT_ONCE = 4
_STEP = 1e-5


@dataclass(frozen=True)
class Doubt:
    """The values of one layer that lie within rounding of an edge."""

    indices: Tensor
    own: Tensor
    other: Tensor
    """The numbers of the pieces on either side."""

    @classmethod
    def of(cls, layer: Layer) -> Doubt | None:
        """Return a layer's, None where it has no such value."""
        values, pieces = layer.values.detach().flatten(), layer.pieces.flatten().long()
        close = CLOSE * values.square().mean().sqrt()
        indices, other = [], []
        for number, edge in enumerate(layer.edges):
            found = ((values - edge).abs() < close).nonzero().flatten()
            found = found[(pieces[found] == number) | (pieces[found] == number + 1)]
            indices.append(found)
            other.append(2 * number + 1 - pieces[found])
        where = torch.cat(indices)
        return cls(where, pieces[where], torch.cat(other)) if len(where) else None

    def change(self, layer: Layer) -> Tensor:
        """Return what the layer would return more on the other side, of each value."""
        values = layer.values.flatten()[self.indices]
        each, numbers = torch.stack([of(values) for of in layer.formulas]), torch.arange(len(self.indices))
        return each[self.other, numbers] - each[self.own, numbers]


def error_with_decisions(single: nn.Module, double: nn.Module, golden: Golden, run: Run) -> float:
    """Return the relative error of the input gradient of `single`, decided as `double` or the reference does.

    The same network in both precisions, whose parameters are frozen here. Raises AssertionError if it returns
    other logits where its functions are told what to decide than where they are not.
    """
    for parameter in (*single.parameters(), *double.parameters()):
        parameter.requires_grad_(False)
    decisions = _decisions(double, golden, run)
    if golden.dtype == torch.float32:
        decisions = _as_stored(double, golden, run, decisions)
    image, told = golden.image(torch.float32).requires_grad_(), Decisions(decisions)
    logits = _logits(single, image, run, told)
    assert all(len(noted) == len(decisions[name]) for name, noted in told.noted.items())
    (gradient,) = torch.autograd.grad(logits.square().mean(), image)
    stored = _stored(golden)
    return _largest(stored - _stored_part(gradient, golden)) / _largest(stored)


def _decisions(double: nn.Module, golden: Golden, run: Run) -> Noted:
    image, noting = golden.image(torch.float64).requires_grad_(), Decisions()
    decided = _logits(double, image, run, noting).detach()
    with torch.no_grad():
        torch.manual_seed(0)
        plain, _ = run(double, image)
    assert _largest(decided - plain) <= 1e-9 * _largest(plain)
    return noting.noted


def _as_stored(double: nn.Module, golden: Golden, run: Run, noted: Noted) -> Noted:
    """Return the decisions, those changed of which the stored gradient shows that they fell otherwise."""
    image, stored = golden.image(torch.float64).requires_grad_(), _stored(golden)
    doubts: dict[Place, Doubt] = {}
    logits, outputs, changes = _weighed(double, image, run, noted, doubts)
    decisions = {name: list(each) for name, each in noted.items()}
    if not doubts:
        return decisions
    gradient, *arriving = torch.autograd.grad(logits.square().mean(), [image, *outputs], retain_graph=True)
    weights = torch.cat(
        [of.flatten()[doubt.indices] for of, doubt in zip(arriving, doubts.values(), strict=True)]
    )
    places = [(place, index) for place, doubt in doubts.items() for index in range(len(doubt.indices))]
    left = stored - _stored_part(gradient, golden)
    untried = torch.ones_like(weights, dtype=torch.bool)
    for _ in range(ROUNDS):
        if _largest(left) < EXPLAINED * _largest(stored):
            break
        along = image.detach() + _STEP / _largest(left) * _full_part(left, golden, image)
        *_, moved = _weighed(double, along.requires_grad_(), run, noted, doubts)
        explains = torch.where(untried, weights * (moved - changes).detach(), -torch.inf)
        for best in explains.argsort(descending=True)[:TRIED_AT_ONCE].tolist():
            untried[best] = False
            (jump,) = torch.autograd.grad(changes[best] * weights[best], image, retain_graph=True)
            without = left - _stored_part(jump, golden)
            if without.norm() < left.norm():
                left, (place, index) = without, places[best]
                _change_side(decisions, place, doubts[place], index)
    return decisions


def _change_side(decisions: dict[str, list[Tensor]], place: Place, doubt: Doubt, index: int) -> None:
    name, call = place
    own = decisions[name][call]
    changed = own.flatten().clone()
    changed[doubt.indices[index]] = doubt.other[index].to(own.dtype)
    decisions[name][call] = changed.view_as(own)


def _weighed(
    model: nn.Module, image: Tensor, run: Run, decisions: Noted, doubts: dict[Place, Doubt]
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return the logits, the outputs of layers in doubt, and the changes of their values.

    Doubts are sought, and added, if there are none.
    """
    outputs: list[Tensor] = []
    changes: list[Tensor] = []
    seek = not doubts

    def watch(layer: Layer) -> None:
        doubt = Doubt.of(layer) if seek else doubts.get(layer.place)
        if doubt is not None:
            doubts[layer.place] = doubt
            outputs.append(layer.found)
            changes.append(doubt.change(layer))

    logits = _logits(model, image, run, Decisions(decisions, watch))
    return logits, outputs, torch.cat(changes) if changes else torch.empty(0)


def _logits(model: nn.Module, image: Tensor, run: Run, decisions: Decisions) -> Tensor:
    torch.manual_seed(0)  # as before the reference's own forward pass, where that one is random
    with decisions:
        logits, _ = run(model, image)
    return logits


def _stored(golden: Golden) -> Tensor:
    return torch.from_numpy(golden.arrays["input_grad"]).double()


def _stored_part(gradient: Tensor, golden: Golden) -> Tensor:
    step = golden.facts["grad_step"]
    return gradient[0, :, ::step, ::step].double()


def _full_part(part: Tensor, golden: Golden, image: Tensor) -> Tensor:
    full, step = torch.zeros_like(image), golden.facts["grad_step"]
    full[0, :, ::step, ::step] = part
    return full


def _largest(values: Tensor) -> float:
    return float(values.abs().max())
