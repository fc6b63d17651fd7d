"""Gradients that differ by a rounded decision are told from gradients that are wrong, in every network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.plugins.wiring import load_registry
from tests.golden.jumps import Run, error_with_decisions
from tests.golden.references import REFERENCES
from tests.helpers.golden import Golden, golden_tensor
from tests.helpers.networks import build_network

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = 1e-4
QUICK = ("u-net", "segformer")
"""Tried in the default suite, too."""
"""As for the stored numbers of reference implementations in single precision."""
SINGLE = ("segnext", "swin-umamba")
"""Whose references were computed in single precision."""


def sampled(values: Tensor) -> Tensor:
    """Return what lies at the values on a line of uneven steps, between -4 and 4."""
    line = torch.arange(9, dtype=values.dtype).square().view(1, 1, 1, 9)
    points = torch.stack([values.reshape(1, 1, -1) / 4, torch.zeros_like(values).reshape(1, 1, -1)], dim=-1)
    return functional.grid_sample(line, points, align_corners=True)


KINDS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "relu": (functional.relu, 1e-12),
    "module": (nn.ReLU(inplace=True), 1e-12),
    "leaky": (lambda values: functional.leaky_relu(values, 0.1), 1e-12),
    "relu6": (functional.relu6, 1e-12),
    "abs": (torch.abs, 1e-12),
    "maximum": (lambda values: torch.maximum(2 * values, values), 1e-12),
    "pooling": (
        lambda values: functional.max_pool2d(torch.stack([0 * values, values], -1).flatten(-2), (1, 2)),
        1e-12,
    ),
    "sampling": (sampled, -1e-12),
}
"""Functions whose slope jumps at 0, and a value that double precision has on the other side than single."""


class Bent(nn.Module):
    """Images of 4x4 pixels, and beside them what a function makes of them after a bias; as one vector."""

    def __init__(self, bias: Tensor, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        bent = self.function(image + self.bias)
        return torch.cat([image.flatten(), 3 + bent.flatten()])


def run(model: nn.Module, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    return model(image), ()


def gradient(model: nn.Module, image: Tensor, run: Run = run) -> Tensor:
    leaf = image.clone().requires_grad_()
    torch.manual_seed(0)
    logits, _ = run(model, leaf)
    (found,) = torch.autograd.grad(logits.square().mean(), leaf)
    return found[0]


def golden_of(stored: Tensor | None = None, size: int = 4, seed: int = 0, dtype: str = "float64") -> Golden:
    facts = {"seed": seed, "image_size": size, "grad_step": 1, "dtype": dtype}
    return Golden(facts, {"input_grad": np.zeros((3, size, size)) if stored is None else stored.numpy()})


def error(model: nn.Module, golden: Golden, run: Run = run) -> float:
    return error_with_decisions(copy.deepcopy(model).float(), copy.deepcopy(model).double(), golden, run)


@pytest.mark.parametrize("kind", KINDS)
def test_rounded_decisions_are_double_precisions_and_faults_stay(kind: str) -> None:
    function, rounded = KINDS[kind]
    image = golden_of().image(torch.float64)
    bias = torch.zeros_like(image)
    bias[0, 0, 1, 2] = -image[0, 0, 1, 2] + rounded
    model = Bent(bias, function)
    stored = gradient(model, image)
    plain = gradient(copy.deepcopy(model).float(), image.float()).double()
    assert (plain - stored).abs().max() > 1e-2 * stored.abs().max()
    assert error(model, golden_of(stored)) < 1e-6
    assert error(model, golden_of(stored * 1.001)) > 5e-4


def test_a_reference_in_single_precision_may_have_decided_otherwise_where_it_is_close_and_nowhere_else() -> (
    None
):
    image = golden_of().image(torch.float64)
    bias = torch.zeros_like(image)
    close, above, clear = (0, 1, 2, 3), (0, 0, 1, 1), (0, 2, 0, 0)
    bias[close], bias[above], bias[clear] = -image[close] - 1e-6, -image[above] + 1e-6, -image[clear] - 1e-3

    def twice(values: Tensor) -> Tensor:
        return functional.leaky_relu(functional.leaky_relu(values, 0.1) + 1, 0.1)

    def stored_with(*crossed: tuple[int, ...]) -> Golden:
        theirs = bias.clone()
        for place in crossed:
            theirs[place] = -2 * image[place] - bias[place]
        return golden_of(gradient(Bent(theirs, twice), image), dtype="float32")

    assert error(Bent(bias, twice), stored_with()) < 1e-6
    assert error(Bent(bias, twice), stored_with(close, above)) < 1e-5
    assert error(Bent(bias, twice), stored_with(close, clear)) > 0.05
    exact = Golden({**stored_with(close).facts, "dtype": "float64"}, stored_with(close).arrays)
    assert error(Bent(bias, twice), exact) > 0.05


def filled(model: nn.Module, seed: int) -> nn.Module:
    """Fill a network as the references were; tables and grids stay."""
    parameters = dict(model.named_parameters())
    for name, tensor in model.state_dict().items():
        if name in parameters or name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.from_numpy(golden_tensor(name, tuple(tensor.shape), seed)))
    return model.eval()


def networks() -> list[str]:
    return sorted({reference.model for reference in REFERENCES.values()})


def trial(name: str) -> tuple[nn.Module, int]:
    declared = load_registry().model(name)
    step = declared.size_multiple
    size = step * math.ceil(max(declared.size_minimum, 64) / step)
    return filled(build_network(name, size=size, **declared.small), seed=5), size


def test_every_architecture_has_a_reference() -> None:
    assert networks() == sorted(load_registry().models)


def with_epsilons(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "eps"):
            module.eps = 1e-3  # type: ignore[assignment]


def with_two_columns_exchanged(model: nn.Module) -> None:
    largest = max(model.parameters(), key=lambda parameter: parameter.numel() * (parameter.ndim > 1))
    largest.data[:, :2] = largest.data[:, :2].flip(1)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in networks()],
)
def test_every_network_decides_as_it_is_told_and_keeps_its_faults(name: str) -> None:
    model, size = trial(name)
    stored = gradient(copy.deepcopy(model).double(), golden_of(size=size, seed=5).image(torch.float64))
    golden = golden_of(stored, size, seed=5, dtype="float32" if name in SINGLE else "float64")
    assert error(model, golden) < TOLERANCE
    for spoil in (with_epsilons, with_two_columns_exchanged):
        wrong = copy.deepcopy(model)
        spoil(wrong)
        assert error(wrong, golden) > TOLERANCE, spoil.__name__


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_wrong_slope_is_not_taken_for_rounding(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model, size = trial("swin-umamba")
    stored = gradient(model.to(dtype), golden_of(size=size, seed=5).image(dtype)).double()
    golden = golden_of(stored, size, seed=5, dtype=str(dtype).removeprefix("torch."))
    assert error(model, golden) < TOLERANCE
    monkeypatch.setattr("bench_sma.swin_umamba.network._SLOPE", 0.0101)
    assert error(model, golden) > TOLERANCE
