"""Options that several of the architectures here have."""

from __future__ import annotations

from bench_core import Option


def variant(default: str, choices: tuple[str, ...], help: str) -> Option:
    """Return the option that chooses a network's size."""
    return Option(type=str, default=default, choices=choices, help=help)


def drop_path(default: float | None, otherwise: str = "") -> Option:
    """Return the option for the backbone's stochastic depth; `otherwise` says what None stands for."""
    return Option(
        type=float,
        default=default,
        minimum=0,
        maximum=0.9,
        help="probability that the last block's branches are left out in training"
        + (f"; {otherwise}" if otherwise else ""),
    )


def decoder_width(of: str, otherwise: str, *, multiple: int | None = None) -> Option:
    """Return the option for the channels of a decoder; `otherwise` says how many where none is given."""
    return Option(
        type=int,
        default=None,
        minimum=multiple or 1,
        multiple=multiple,
        help=f"channels of {of}" + (f", a multiple of {multiple}" if multiple else "") + f"; {otherwise}",
    )
