"""The selective scan (Gu and Dao, Mamba, arXiv 2312.00752), and which of its forms computes it.

For each channel d with its states n, from h = 0 on:

    delta[t] = softplus(delta[t] + delta_bias)
    h[n, t] = exp(delta[t] A[n]) h[n, t - 1] + delta[t] B[n, t] u[t]
    y[t] = sum over n of C[n, t] h[n, t], plus D u[t]

Every form is a module with one function `scan` of the arguments of `selective_scan`, which gets contiguous
tensors of one dtype on one device, and returns y with its gradients to all seven.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor

from bench_core.arithmetic import Arithmetic, counted

_HERE = "bench_sma.swin_umamba.scan"
BACKENDS = {
    "mamba_ssm": f"{_HERE}.mamba_ssm_scan",
    "triton": f"{_HERE}.triton_scan",
    "numba": f"{_HERE}.numba_scan",
    "blocked": f"{_HERE}.blocked",
    "sequential": f"{_HERE}.sequential",
    "traceable": f"{_HERE}.traceable",
    "stepwise": f"{_HERE}.stepwise",
}
"""Forms of the scan, and their modules; "sequential" is the definition, slow, for tests. A network is written
to a file in "traceable" by torch.jit.trace, in "stepwise" by torch.export."""
NEEDS = {"mamba_ssm": "mamba_ssm", "triton": "triton", "numba": "numba"}
"""The package that a form needs beyond PyTorch."""
MISSING = {
    form
    for form, package in NEEDS.items()
    if not all(importlib.util.find_spec(module) for module in (package, BACKENDS[form]))
}
"""Forms whose package or module is not there; looked up once, which torch.compile can look through, too."""
if torch.__version__ < "2.7":  # comes with Triton 3.2, in which lanes cannot gather from each other
    MISSING.add("triton")
LOOPS_ARE_EXPORTED = torch.__version__ >= "2.14"
"""Whether torch.export and its way to ONNX are known to write loops; before, these were not tried."""
_forced: ContextVar[str | None] = ContextVar("scan backend", default=None)


def _arithmetic(u: Tensor, delta: Tensor, A: Tensor, *rest: object, **named: object) -> Arithmetic:
    """Return 9 operations for each update of a state, as Mamba's and VMamba's authors count them."""
    return Arithmetic(other=9 * u.numel() * A.shape[-1])


def _like(u: Tensor, *rest: object, **named: object) -> Tensor:
    return torch.empty_like(u, dtype=_computed_in(u), memory_format=torch.contiguous_format)


def _computed_in(u: Tensor) -> torch.dtype:
    return torch.float64 if u.dtype == torch.float64 else torch.float32


@counted("selective scan", _arithmetic, _like)
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool = True,
) -> Tensor:
    """Scan u [b, G * d, L] along L; return y of the same shape, in float32, or float64 if u is.

    `delta` is [b, G * d, L], `A` [G * d, N], negative for a state that decays, `B` and `C` [b, G, N, L],
    shared by the d channels of each of the G groups, `D` and `delta_bias` [G * d]. Without `delta_softplus`
    the softplus is left out. Half precision is computed in float32, under autocast too.
    """
    dtype = _computed_in(u)
    tensors = [tensor.to(dtype).contiguous() for tensor in (u, delta, A, B, C, D, delta_bias)]
    if u.device.type == "meta":
        # Nothing is computed there, and autocast does not know the device.
        return torch.empty_like(tensors[0])
    name = backend_for(tensors[0])
    form = importlib.import_module(BACKENDS[name])
    # A loop in a region without autocast cannot be saved; networks are exported without autocast.
    exact = nullcontext() if name == "stepwise" else torch.autocast(u.device.type, enabled=False)
    with exact:
        y: Tensor = form.scan(*tensors, delta_softplus)
    return y


def backend_for(u: Tensor) -> str:
    """Return the name of the form that scans a tensor of this dtype on this device."""
    forced = _forced.get()
    if forced is not None:
        return forced
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return "traceable"
    if _is_exported():
        return "stepwise" if LOOPS_ARE_EXPORTED else "traceable"
    if u.dtype != torch.float32:
        return "blocked"
    fast = {"cuda": ("mamba_ssm", "triton"), "cpu": ("numba",)}.get(u.device.type, ())
    return next((name for name in fast if is_installed(name)), "blocked")


def _is_exported() -> bool:
    """Say whether torch.export writes down what is computed, for a file of its own."""
    exporting = getattr(torch.compiler, "is_exporting", None)
    return exporting is not None and bool(exporting())


def is_installed(backend: str) -> bool:
    """Return whether the package that a form needs is there."""
    return backend not in MISSING


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Take one form of the scan for everything inside, whatever the device: for tests and measurements."""
    if name not in BACKENDS:
        raise ValueError(f"no form of the selective scan is called {name!r}: {', '.join(BACKENDS)}")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)
