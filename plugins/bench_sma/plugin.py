"""Declares the specialized medical architectures; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, hookimpl
from bench_sma.declared import architectures


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the architectures that are declared one by one."""
    return architectures()
