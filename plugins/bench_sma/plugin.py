"""Declares the specialized medical architectures; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, ModelSource, hookimpl
from bench_sma.declared import architectures
from bench_sma.smp_source import SOURCE


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the architectures that are declared one by one."""
    return architectures()


@hookimpl
def bench_model_sources() -> list[ModelSource]:
    """Return the networks that are reached by a name's prefix."""
    return [SOURCE]
