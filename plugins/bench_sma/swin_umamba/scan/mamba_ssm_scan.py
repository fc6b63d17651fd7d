"""The selective scan by the CUDA kernel of the package `mamba_ssm`, from Mamba's authors."""

from __future__ import annotations

from torch import Tensor


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool = True,
) -> Tensor:
    """Scan as bench_sma.swin_umamba.scan.dispatcher says."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    y: Tensor = selective_scan_fn(
        u, delta, A, B, C, D, z=None, delta_bias=delta_bias, delta_softplus=delta_softplus
    )
    return y
