"""Declares the general-purpose vision models of the study; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, hookimpl
from bench_gpvm.internimage.declaration import INTERNIMAGE
from bench_gpvm.segformer.declaration import SEGFORMER
from bench_gpvm.segnext.declaration import SEGNEXT
from bench_gpvm.transnext.declaration import TRANSNEXT
from bench_gpvm.vw.declaration import VW_CONV, VW_MIT


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the six architectures; parameters are counted without auxiliary heads."""
    return [SEGFORMER, SEGNEXT, VW_MIT, VW_CONV, INTERNIMAGE, TRANSNEXT]
