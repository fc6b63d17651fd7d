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


def outputs(model: nn.Module, dtype: torch.dtype, image: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        return {"logits": copy.deepcopy(model).to(dtype)(image.to(dtype))[0].double()}


@pytest.mark.parametrize("name", NETWORKS)
def test_another_epsilon_is_more_than_rounding(name: str) -> None:
    """Of a reference in double precision, and of one in single whose sums have another order."""
    size = 128 if name.startswith("vw") else 64
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    model = filled(build_network(name, size=size, **load_registry().model(name).small), seed=3)
    single, double = (outputs(model, dtype, image) for dtype in (torch.float32, torch.float64))
    with torch.backends.mkldnn.flags(enabled=False):
        otherwise = outputs(model, torch.float32, image)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm):
            module.eps *= 10 if module.eps < 1e-5 else 0.1
    moved = [outputs(model, dtype, image) for dtype in (torch.float32, torch.float64)]

    for dtype, stored in (("float64", double), ("float32", otherwise)):
        golden = Golden({"dtype": dtype}, {"logits": stored["logits"].numpy()})
        assert roundings(single, double, golden)["logits"] < LIMIT / 2
        assert roundings(*moved, golden)["logits"] > LIMIT
