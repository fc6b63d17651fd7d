"""An epsilon ten times another is told from rounding in single precision; another order of sums is not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bench_core.plugins.wiring import load_registry
from tests.golden.references import REFERENCES
from tests.golden.rounding import LIMIT, roundings
from tests.golden.test_jumps import filled
from tests.helpers.golden import Golden
from tests.helpers.networks import build_network

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORKS = sorted(reference.model for reference in REFERENCES.values())
IMAGE = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def outputs(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        return {"logits": copy.deepcopy(model).to(dtype)(IMAGE.to(dtype))[0].double()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_another_epsilon_is_more_than_rounding(name: str, dtype: str) -> None:
    model = filled(build_network(name, size=128, **load_registry().model(name).small), seed=3)
    if dtype == "float64":
        stored = outputs(model, torch.float64)["logits"]
    else:
        with torch.backends.mkldnn.flags(enabled=False):
            stored = outputs(model, torch.float32)["logits"]
    golden = Golden({"dtype": dtype}, {"logits": stored.numpy()})

    def away(model: nn.Module) -> float:
        return roundings(outputs(model, torch.float32), outputs(model, torch.float64), golden)["logits"]

    right = away(model)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm):
            module.eps *= 10 if module.eps < 1e-5 else 0.1

    assert right < LIMIT / 2
    assert away(model) > LIMIT
