"""Names for features that no module of a network returns alone, for class activation maps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn


def name_output(network: nn.Module, part: str, name: str = "deepest") -> None:
    """Give the last tensor that `network.<part>` returns, in a list perhaps, the name `network.<name>`.

    That is a module of its own, whose output is the tensor itself: nothing is computed and no state added.
    """
    shown = nn.Identity()
    network.add_module(name, shown)
    network.get_submodule(part).register_forward_hook(partial(_show_output, shown))


def name_input(network: nn.Module, part: str, name: str = "deepest") -> None:
    """Give the last tensor that `network.<part>` gets, in a list perhaps, a name as `name_output` does."""
    shown = nn.Identity()
    network.add_module(name, shown)
    network.get_submodule(part).register_forward_pre_hook(partial(_show_input, shown), with_kwargs=True)


def _show_output(shown: nn.Module, module: nn.Module, arguments: Any, output: Any) -> None:
    _show(shown, output)


def _show_input(shown: nn.Module, module: nn.Module, arguments: Any, named: Any) -> None:
    _show(shown, arguments or named)


def _show(shown: nn.Module, found: Any) -> None:
    last = _last_tensor(found)
    if last is not None:
        shown(last)


def _last_tensor(found: Any) -> Tensor | None:
    """Return the last tensor in nested containers, None if there is none."""
    if isinstance(found, Tensor):
        return found
    if isinstance(found, Mapping):
        found = list(found.values())
    if isinstance(found, Sequence) and not isinstance(found, str):
        tensors = (_last_tensor(item) for item in reversed(found))
        return next((tensor for tensor in tensors if tensor is not None), None)
    return None
