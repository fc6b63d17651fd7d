"""Declares the specialized medical architectures; nothing here imports a framework."""

from __future__ import annotations

from bench_core import Architecture, hookimpl
from bench_sma.hiformer.declaration import HIFORMER
from bench_sma.missformer.declaration import MISSFORMER
from bench_sma.swin_umamba.declaration import SWIN_UMAMBA
from bench_sma.swin_unet.declaration import SWIN_UNET
from bench_sma.transunet.declaration import TRANSUNET
from bench_sma.u_kan.declaration import U_KAN
from bench_sma.u_net.declaration import U_NET


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the study's five architectures and two earlier hybrids that it names."""
    return [U_NET, SWIN_UMAMBA, HIFORMER, MISSFORMER, U_KAN, TRANSUNET, SWIN_UNET]
