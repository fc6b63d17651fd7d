"""Names for features that no module of a network returns alone, for class activation maps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn


def name_output(network: nn.Module, part: str, name: str = "deepest", before: Sequence[str] = ()) -> None:
    """Give the last tensor that `network.<part>` returns, in a list perhaps, the name `network.<name>`.

    That is a module of its own, whose output is the tensor itself: nothing is computed and no state added.
    `before` are names for the tensors before the last, in their order.
    """
    shown = _add(network, (*before, name))
    network.get_submodule(part).register_forward_hook(partial(_show_output, shown))


def name_input(network: nn.Module, part: str, name: str = "deepest", before: Sequence[str] = ()) -> None:
    """Give the last tensors that `network.<part>` gets, in a list perhaps, names as `name_output` does."""
    shown = _add(network, (*before, name))
    network.get_submodule(part).register_forward_pre_hook(partial(_show_input, shown), with_kwargs=True)


def _add(network: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    shown = tuple(nn.Identity() for _ in names)
    for name, module in zip(names, shown, strict=True):
        network.add_module(name, module)
    return shown


def _show_output(shown: tuple[nn.Module, ...], module: nn.Module, arguments: Any, output: Any) -> None:
    _show(shown, output)


def _show_input(shown: tuple[nn.Module, ...], module: nn.Module, arguments: Any, named: Any) -> None:
    _show(shown, arguments or named)


def _show(shown: tuple[nn.Module, ...], found: Any) -> None:
    # From the last on: a network of fewer scales has no tensor for the first names.
    for name, tensor in zip(reversed(shown), _tensors_from_the_last(found), strict=False):
        name(tensor)


def _tensors_from_the_last(found: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested containers, the last first."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, Mapping):
        yield from _tensors_from_the_last(list(found.values()))
    elif isinstance(found, Sequence) and not isinstance(found, str):
        for item in reversed(found):
            yield from _tensors_from_the_last(item)
