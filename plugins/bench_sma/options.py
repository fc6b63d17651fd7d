"""Options that several of the architectures here have."""

from __future__ import annotations

from bench_core import Option


def variant(default: str, choices: tuple[str, ...], help: str) -> Option:
    """Return the option that chooses a network's size."""
    return Option(type=str, default=default, choices=choices, help=help)


def drop_path(default: float, what: str) -> Option:
    """Return the option for stochastic depth; `what` is left out in training with that probability."""
    return Option(
        type=float,
        default=default,
        minimum=0,
        maximum=0.9,
        help=f"probability that {what} left out in training",
    )


def inner_size(multiple: int) -> Option:
    """Return the option for a size of the network's own, in pixels, from 32 on."""
    return Option(
        type=int,
        default=None,
        minimum=32,
        multiple=multiple,
        help=f"side that images are resized to inside the network, a multiple of {multiple} (224 in the "
        "paper); the protocol's image size if not given",
    )


def window() -> Option:
    """Return the option for the side of Swin blocks' windows, in tokens."""
    return Option(
        type=int,
        default=7,
        minimum=2,
        help="side of the Swin blocks' windows in tokens; ImageNet weights are for 7 and resized for others",
    )
