"""The selective scan: every form computes what the definition does, gradients and large steps included."""

from __future__ import annotations

import math
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from bench_sma.swin_umamba.scan import dispatcher, selective_scan, use_backend
from bench_sma.swin_umamba.scan.dispatcher import NEEDS, backend_for, is_installed
from tests.helpers.forks import apart
from tests.helpers.scans import errors, inputs, outcome

SHAPES = [(1, 1, 1, 1, 1), (2, 3, 5, 4, 7), (1, 4, 6, 16, 64), (2, 2, 19, 16, 131), (1, 1, 3, 8, 200)]
"""Images, groups, channels of a group, states, steps."""
ON_CPU = [
    pytest.param(name, marks=pytest.mark.skipif(not is_installed(name), reason=f"{name} is not installed"))
    for name in ("numba", "blocked")
]


@pytest.mark.parametrize("large_steps", [False, True], ids=["usual", "large steps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", ON_CPU)
def test_float32_agrees_with_the_definition_in_float64(
    backend: str, shape: tuple[int, ...], large_steps: bool
) -> None:
    arguments = inputs(shape, large_steps)
    expected = outcome("sequential", arguments)
    found = outcome(backend, [tensor.float() for tensor in arguments])
    assert found["y"].dtype == torch.float32
    assert max(errors(found, expected).values()) < 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_blocked_form_is_exact_in_float64(shape: tuple[int, ...]) -> None:
    arguments = inputs(shape)
    for softplus in (True, False):
        if not softplus:
            arguments[1] = functional.softplus(arguments[1])
            arguments[6] = arguments[6].abs()
        found, expected = (outcome(name, arguments, softplus) for name in ("blocked", "sequential"))
        assert found["y"].dtype == torch.float64
        assert max(errors(found, expected).values()) < 1e-13


def test_gradients_are_those_of_finite_differences() -> None:
    arguments = [tensor.requires_grad_() for tensor in inputs((1, 2, 2, 3, 6))]
    assert backend_for(arguments[0]) == "blocked"
    assert torch.autograd.gradcheck(selective_scan, arguments)


@pytest.mark.parametrize("large_steps", [False, True], ids=["usual", "large steps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_traced_agrees_with_the_definition(shape: tuple[int, ...], large_steps: bool) -> None:
    arguments = inputs(shape, large_steps)
    expected = dispatcher.selective_scan(*arguments)
    with use_backend("traceable"), torch.no_grad():
        found = selective_scan(*[tensor.float() for tensor in arguments])
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 255, 256, 257, 300])
def test_what_is_traced_is_exact_in_float64_for_any_number_of_steps(length: int) -> None:
    arguments = inputs((2, 2, 3, 4, length))
    with use_backend("traceable"):
        found = selective_scan(*arguments)
    with use_backend("sequential"):
        expected = selective_scan(*arguments)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-13


def test_what_is_traced_takes_any_batch() -> None:
    two, three = ([tensor.float() for tensor in inputs((images, 2, 5, 4, 37))] for images in (2, 3))
    for many in (two, three):
        many[2], many[5], many[6] = two[2], two[5], two[6]
    traced = torch.jit.trace(selective_scan, tuple(two), check_trace=False)
    assert "numba" not in str(traced.graph) and "Recurrence" not in str(traced.graph)
    assert torch.allclose(traced(*three), outcome("sequential", three)["y"], atol=1e-5)
    assert backend_for(two[0]) != "traceable"


def test_loops_are_written_where_the_exporter_is_known_to_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    for known, form in ((True, "stepwise"), (False, "traceable")):
        monkeypatch.setattr(dispatcher, "LOOPS_ARE_EXPORTED", known)
        assert backend_for(torch.zeros(1)) == form


def test_what_is_traced_grows_slowly_and_holds_few_states() -> None:
    class Watched(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.operations, self.largest = 0, 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            self.operations += 1
            self.largest = max(self.largest, found.numel())
            return found

    def watched(length: int) -> Watched:
        arguments = [tensor.float() for tensor in inputs((1, 1, 4, 16, length))]
        with use_backend("traceable"), Watched() as seen:
            selective_scan(*arguments)
        return seen

    short, long = watched(256), watched(4096)
    assert long.operations < 1.25 * short.operations
    # B and C have 16 numbers for each step; a state for each step of each channel would be four times that.
    assert long.largest == 16 * 4096


@pytest.mark.parametrize("backend", ON_CPU)
def test_no_softplus_is_taken_where_none_is_asked_for(backend: str) -> None:
    arguments = inputs((2, 2, 5, 16, 40))
    arguments[1], arguments[6] = arguments[1].abs(), arguments[6].abs()
    expected = outcome("sequential", arguments, softplus=False)
    found = outcome(backend, [tensor.float() for tensor in arguments], softplus=False)
    assert max(errors(found, expected).values()) < 1e-5


def on_threads(count: int) -> dict[str, Any]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        found = outcome("numba", [tensor.float() for tensor in inputs((2, 4, 70, 16, 150))])
    finally:
        torch.set_num_threads(before)
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.skipif(not is_installed("numba"), reason="numba is not installed")
def test_numba_gives_the_same_bits_on_any_number_of_threads() -> None:
    one, three = (
        {name: torch.from_numpy(array) for name, array in apart(on_threads, count).items()}
        for count in (1, 3)
    )
    for name in ("y", "B", "C"):
        assert torch.equal(one[name], three[name]), name
    # PyTorch's own sums, of D's and the bias' gradients, may differ by rounding.
    assert max(errors(three, one).values()) < 1e-6


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_not_hidden(backend: str, bad: float) -> None:
    u, *others = (tensor.float() for tensor in inputs((1, 2, 3, 4, 20)))
    u[0, 1, 9] = bad
    with use_backend(backend):
        y = selective_scan(u, *others)
    assert torch.isfinite(y[0, 1, :9]).all()
    assert not torch.isfinite(y[0, 1, 9])
    assert torch.isfinite(y[0, [0, 2, 3, 4, 5]]).all()


@pytest.mark.parametrize("backend", ON_CPU)
def test_decays_of_nearly_one_do_not_drift(backend: str) -> None:
    """A constant input with tiny steps integrates: y[t] = step * t, over many steps."""
    length, step = 5000, 1e-7
    row = torch.ones(1, 1, length)
    arguments = (row, step * row, -torch.full((1, 1), 1e-3), row[None], row[None], *torch.zeros(2, 1))
    with use_backend(backend):
        y = selective_scan(*arguments, delta_softplus=False)
    expected = step * torch.arange(1, length + 1)
    torch.testing.assert_close(y[0, 0], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("device", "dtype", "installed", "form"),
    [
        ("cpu", torch.float32, {"numba", "triton", "mamba_ssm"}, "numba"),
        ("cpu", torch.float32, {"triton"}, "blocked"),
        ("cpu", torch.float64, {"numba"}, "blocked"),
        ("cuda", torch.float32, {"numba", "triton", "mamba_ssm"}, "mamba_ssm"),
        ("cuda", torch.float32, {"numba", "triton"}, "triton"),
        ("cuda", torch.float32, {"numba"}, "blocked"),
        ("cuda", torch.float64, {"triton", "mamba_ssm"}, "blocked"),
        ("meta", torch.float32, {"numba", "triton", "mamba_ssm"}, "blocked"),
    ],
)
def test_the_fastest_form_is_taken(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: torch.dtype, installed: set[str], form: str
) -> None:
    monkeypatch.setattr(dispatcher, "MISSING", set(NEEDS) - installed)

    class Somewhere:
        def __init__(self) -> None:
            self.device, self.dtype = torch.device(device), dtype

    assert backend_for(Somewhere()) == form  # type: ignore[arg-type]


def test_a_form_can_be_forced_for_a_while() -> None:
    u = torch.zeros(1)
    usual = backend_for(u)
    with use_backend("sequential"):
        assert backend_for(u) == "sequential"
        with use_backend("blocked"):
            assert backend_for(u) == "blocked"
        assert backend_for(u) == "sequential"
    assert backend_for(u) == usual
    with (
        pytest.raises(ValueError, match="'fast': mamba_ssm, triton, numba, blocked, sequential"),
        use_backend("fast"),
    ):
        pass


def test_half_precision_is_computed_in_float32() -> None:
    arguments = [tensor.bfloat16() for tensor in inputs((1, 2, 3, 4, 20))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = selective_scan(*arguments)
    assert y.dtype == torch.float32
    assert torch.equal(y, selective_scan(*(tensor.float() for tensor in arguments)))


def test_the_kernel_of_mamba_ssm_gets_what_it_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's function takes the same layouts; it is stood in for by the definition."""
    from bench_sma.swin_umamba.scan import sequential

    def selective_scan_fn(*tensors: Tensor, z: None, delta_bias: Tensor, delta_softplus: bool) -> Tensor:
        u, delta, _, *shared, _ = tensors
        assert u.stride(-1) == delta.stride(-1) == 1
        assert all(tensor.ndim == 4 for tensor in shared)
        return sequential.scan(*tensors, delta_bias, delta_softplus)

    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_fn  # type: ignore[attr-defined]
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    arguments = inputs((2, 3, 5, 4, 7))
    found, expected = (outcome(name, arguments) for name in ("mamba_ssm", "sequential"))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
