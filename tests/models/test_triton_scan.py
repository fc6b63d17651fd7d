"""The selective scan's Triton kernels: in Triton's interpreter on a CPU, on a GPU where there is one."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.torch_version import TorchVersion

from bench_sma.swin_umamba.scan import selective_scan, use_backend
from tests.helpers.scans import errors, inputs, outcome

triton = pytest.importorskip("triton")

# Triton looks at it when it is imported, hence the process of its own below.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ON_GPU = torch.cuda.is_available() and not INTERPRETED
DEVICE = "cuda" if ON_GPU else "cpu"
SMALL = [(2, 2, 3, 2, 3), (1, 2, 3, 4, 19), (3, 1, 3, 3, 14)]
"""Images, groups, channels of a group, states, steps: up to three tiles, and blocks of two channels."""
LARGE = [(1, 1, 1, 1, 1), (2, 3, 5, 4, 7), (3, 2, 33, 16, 300), (1, 4, 40, 16, 4096), (1, 4, 96, 16, 20000)]
SHAPES = LARGE if ON_GPU else SMALL

runs = pytest.mark.skipif(not (INTERPRETED or ON_GPU), reason="neither interpreted nor on a GPU")
on_gpu = pytest.mark.skipif(not ON_GPU, reason="no GPU")


def single(arguments: list[Tensor]) -> list[Tensor]:
    return [tensor.float().to(DEVICE) for tensor in arguments]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short sequences into several tiles, and few channels into blocks: the interpreter is slow."""
    from bench_sma.swin_umamba.scan import triton_scan

    if not ON_GPU:
        for name, size in {"STEPS": 2, "LANES": 4, "TILES_AT_ONCE": 2, "LARGEST_BLOCK": 2}.items():
            monkeypatch.setattr(triton_scan, name, size)


@runs
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("large_steps", [False, True], ids=["usual", "large steps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_agrees_with_the_definition_in_float64(shape: tuple[int, ...], large_steps: bool) -> None:
    arguments = inputs(shape, large_steps)
    exact = "sequential" if shape[-1] < 1000 else "blocked"
    found = outcome("triton", single(arguments))
    assert found["y"].dtype == torch.float32
    assert max(errors(found, outcome(exact, arguments)).values()) <= 1e-5


@runs
@pytest.mark.usefixtures("small_tiles")
def test_no_softplus_is_taken_where_none_is_asked_for() -> None:
    arguments = inputs((1, 2, 3, 4, 10))
    arguments[1], arguments[6] = functional.softplus(arguments[1]), arguments[6].abs()
    found, expected = outcome("triton", single(arguments), False), outcome("sequential", arguments, False)
    assert max(errors(found, expected).values()) <= 1e-5


@runs
def test_tiles_of_the_usual_size_agree_too() -> None:
    arguments = inputs((1, 1, 1, 2, 70))
    found, expected = outcome("triton", single(arguments)), outcome("sequential", arguments)
    assert max(errors(found, expected).values()) <= 1e-5


@runs
def test_tiny_and_huge_steps_lose_no_digits() -> None:
    """Step sizes of 1e-7 and 30 in turn: of log(1 + exp(x)), 1 + exp(x) keeps no digit of the former."""
    u, delta, *others = inputs((1, 1, 1, 2, 12))
    delta[..., ::2], delta[..., 1::2], others[-1][:] = -16.1, 30, 0
    arguments = [u, delta, *others]
    found, expected = outcome("triton", single(arguments)), outcome("sequential", arguments)
    assert max(errors(found, expected).values()) <= 1e-5


@runs
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_not_hidden(bad: float) -> None:
    u, *others = single(inputs((1, 2, 2, 2, 20)))
    u[0, 1, 9] = bad
    with use_backend("triton"):
        y = selective_scan(u, *others)
    assert torch.isfinite(y[0, 1, :9]).all()
    assert not torch.isfinite(y[0, 1, 9])
    assert torch.isfinite(y[0, [0, 2, 3]]).all()


@runs
@pytest.mark.usefixtures("small_tiles")
def test_a_network_around_it_can_be_compiled() -> None:
    arguments = single(inputs((1, 1, 2, 2, 6)))

    def network(*tensors: Tensor) -> Tensor:
        return 2 * selective_scan(*tensors)

    with use_backend("triton"):
        expected, found = network(*arguments), torch.compile(network, backend="eager")(*arguments)
    assert torch.equal(found, expected)


@on_gpu
def test_decays_of_nearly_one_do_not_drift() -> None:
    """A constant input with tiny steps integrates: y[t] = step * t, over many steps."""
    length, step = 5000, 1e-7
    row = torch.ones(1, 1, length, device=DEVICE)
    rate, zero = torch.full((1, 1), -1e-3, device=DEVICE), torch.zeros(1, device=DEVICE)
    with use_backend("triton"):
        y = selective_scan(row, step * row, rate, row[None], row[None], zero, zero, False)
    expected = step * torch.arange(1, length + 1, device=DEVICE)
    torch.testing.assert_close(y[0, 0], expected, rtol=1e-4, atol=0)


@on_gpu
def test_every_pass_gives_the_same_bits() -> None:
    arguments = single(inputs((2, 4, 70, 16, 3000)))
    one, other = outcome("triton", arguments), outcome("triton", arguments)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="is interpreted already")
@pytest.mark.skipif(
    TorchVersion(triton.__version__) < "3.8" and TorchVersion(np.__version__) >= "2.4",
    reason="this Triton's interpreter takes arrays of one number for numbers, which NumPy 2.4 does not",
)
def test_the_kernels_are_right_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__))]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout[-5000:]
    expected = 2 * len(SMALL) + 6
    assert re.search(rf"\b{expected} passed", result.stdout), result.stdout[-5000:]


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled where all is interpreted")
@pytest.mark.parametrize("capability", [pytest.param(80, marks=pytest.mark.slow), 90])
@pytest.mark.parametrize("kernel", ["tile_ends", "carry", "forward", "backward"])
def test_kernels_compile_for_gpus(
    kernel: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed. A lane's steps are in its registers, and no sum is left to atomic operations."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from bench_sma.swin_umamba.scan import triton_kernels, triton_scan

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    function = getattr(triton_kernels, kernel)
    settings = {
        "SOFTPLUS": True,
        "BACK": True,
        "STEPS": triton_scan.STEPS,
        "LANES": triton_scan.LANES,
        "PADDED": 16,
        "AT_ONCE": triton_scan.TILES_AT_ONCE,
    }
    constants = {name: value for name, value in settings.items() if name in function.arg_names}
    numbers = {"length", "channels", "rows_of_A", "states", "block", "tiles"}
    signature = {name: "i32" if name in numbers else "*fp32" for name in function.arg_names}
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=function, signature=signature, constexprs=constants)
    compiled = triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": triton_scan.WARPS}
    )
    assert "atom" not in compiled.asm["ptx"]
    if kernel in ("forward", "backward"):
        layouts = compiled.asm["ttgir"]
        scanned = set(re.findall(r"-> \(tensor<\d+x\d+x\d+xf32, (#\w+)>", layouts))
        assert scanned
        for name in scanned:
            assert re.search(rf"^{name} = .*threadsPerWarp = \[1, 1, 32\]", layouts, re.M), name
