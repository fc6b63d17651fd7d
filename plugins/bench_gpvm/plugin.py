"""Declares the general-purpose vision models of the study; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, hookimpl
from bench_gpvm.declared import internimage, segformer, segnext, transnext
from bench_gpvm.declared_vw import vw_conv, vw_mit


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the six architectures; parameters are counted without auxiliary heads."""
    return [segformer(), segnext(), vw_mit(), vw_conv(), internimage(), transnext()]
