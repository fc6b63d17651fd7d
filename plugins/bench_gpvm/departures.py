"""Departures that several of the architectures here share."""

from __future__ import annotations

from bench_core import Departure

AUXILIARY_HEAD = Departure(
    what="auxiliary head",
    published="a second head on the third stage takes part in training, with weight 0.4",
    here="none",
    because="the protocol trains all models by one loss of their one output; the study's parameter counts "
    "have no such head either",
)


def optimization(published: str) -> Departure:
    """Return how the published training treats parameters apart, which the protocol does not."""
    return Departure(
        what="optimization",
        published=f"{published}; linear warm-up in the first 1,500 steps",
        here="one learning rate and one weight decay for all parameters, and the protocol's schedule",
        because="the protocol holds optimizer and parameter groups constant across models",
    )
