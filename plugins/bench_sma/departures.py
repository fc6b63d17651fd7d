"""Departures that several of the architectures here share."""

from __future__ import annotations

from bench_core import Departure


def optimizer(published: str) -> Departure:
    """Return with which optimizer the authors train, where it is not the protocol's."""
    return Departure(
        what="optimizer",
        published=published,
        here="the protocol's, for all parameters alike",
        because="every model of a study is trained alike",
    )
