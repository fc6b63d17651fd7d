"""Options that several published datasets share."""

from __future__ import annotations

from bench_core import Option

ALLOW_MISSING = Option(
    type=bool,
    default=False,
    help="take what is there where files of the published data are missing; told, and part of each result",
)
