"""Declares the sources of networks that other libraries hold; nothing here imports a framework."""

from __future__ import annotations

from bench_core import ModelSource, hookimpl
from bench_sources import hf_source, monai_source, smp_source, timm_source


@hookimpl
def bench_model_sources() -> list[ModelSource]:
    """Return the networks that are reached by a name's prefix."""
    return [smp_source.SOURCE, timm_source.SOURCE, hf_source.SOURCE, monai_source.SOURCE]
