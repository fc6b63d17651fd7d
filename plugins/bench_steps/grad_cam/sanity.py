"""Whether maps depend on what a network has learned: made anew while it forgets, from the output down.

After Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (cascading randomization). Weights are
shuffled within each tensor and not drawn anew, so that every tensor keeps its values' distribution and what
must be positive stays so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench_core.seeds import derive_seed
from bench_steps.grad_cam.numbers import rank_correlation


def groups(network: nn.Module, forward: Callable[[], object], count: int) -> tuple[tuple[str, ...], ...]:
    """Return the modules that have parameters, by name, in `count` groups of like size from the output down.

    The order is that in which `forward` calls them. A module that is never called itself, since its weights
    are used by its parent, stands where the parent does.
    """
    names = {id(module): name for name, module in network.named_modules()}
    called: dict[str, int] = {}
    calls = itertools.count()

    def note(module: nn.Module, *_: object) -> None:
        called[names[id(module)]] = next(calls)

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()

    def place(name: str) -> int:
        while name not in called and name:
            name = name.rpartition(".")[0]
        return called.get(name, -1)

    owners = [name for name, module in network.named_modules() if any(True for _ in module.parameters(False))]
    ordered = sorted(owners, key=place, reverse=True)
    parts = np.array_split(np.arange(len(ordered)), min(count, len(ordered)))
    return tuple(tuple(ordered[index] for index in part) for part in parts)


def cascade(network: nn.Module, parts: Sequence[Sequence[str]], seed: int) -> Generator[int, None, None]:
    """Shuffle the weights of one group of modules after the other, in place, and yield each group's number.

    At the end, also where the caller leaves early and closes the iterator, the network is what it was.
    """
    kept = [(parameter, parameter.detach().clone()) for parameter in network.parameters()]
    modules, done = dict(network.named_modules()), set[int]()
    try:
        for number, names in enumerate(parts):
            for name in names:
                for own, parameter in modules[name].named_parameters(recurse=False):
                    if id(parameter) not in done:
                        done.add(id(parameter))
                        _shuffle(parameter, derive_seed("randomize", seed, name, own))
            yield number
    finally:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)


def similarity(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return Spearman's correlation of two maps [S, S]; NaN where one of them is constant or not finite."""
    return rank_correlation(before, after)


def _shuffle(parameter: nn.Parameter, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(parameter.numel(), generator=draws).to(parameter.device)
    with torch.no_grad():
        parameter.copy_(parameter.detach().flatten()[order].view_as(parameter))
