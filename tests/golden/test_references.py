"""Every architecture computes what its public reference implementation computes with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench_core import BuildRequest
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from tests.golden.jumps import error_with_decisions
from tests.golden.references import REFERENCES
from tests.golden.rounding import LIMIT, roundings
from tests.helpers.golden import Golden, golden_errors, golden_outputs, reference_name, relative_errors

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_same_outputs_and_gradients(
    golden_file: Path, dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    name = reference_name(golden_file, REFERENCES)
    if name is None:
        pytest.skip(f"{golden_file.stem}: no architecture for it yet")
    reference, golden = REFERENCES[name], Golden.read(golden_file)
    if dtype == torch.float64 and golden.dtype == torch.float32:
        pytest.skip(f"{golden_file.stem}: its reference was computed in float32")
    architecture = load_registry().model(reference.model)
    assert architecture.build is not None
    model = resolve_entry(architecture.build)(
        BuildRequest(
            name=architecture.name,
            in_channels=golden.channels,
            num_classes=golden.classes,
            image_size=golden.size[0],
            pretrained="none",
            options=complete_options(
                architecture.options, {**reference.options, **reference.options_of(golden)}
            ),
        )
    )
    count = golden.facts.get("parameters_without_auxiliary_head", golden.facts["parameters"])
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    convert = resolve_entry(reference.convert)
    found = golden_outputs(model, golden, convert, dtype, run=reference.run, drops=reference.drops)
    errors = relative_errors(found, golden)
    if reference.layout is not None and not errors["input_grad"] <= TOLERANCES[dtype]:
        record_property("input_grad in our layout", errors["input_grad"])
        like = golden_errors(model, golden, convert, dtype, run=reference.layout, drops=reference.drops)
        errors = {item: max(error, like[item]) for item, error in errors.items()}
        errors["input_grad"] = like["input_grad"]
    if dtype == torch.float32:
        run, double = reference.layout or reference.run, copy.deepcopy(model)
        exact = golden_outputs(double, golden, convert, torch.float64, run=run, drops=reference.drops)
        far = roundings(found, exact, golden)
        record_property("own roundings away", max(far.values()))
        print(f"{golden_file.stem}: {max(far.values()):.2f} of its own roundings away")
        assert not [item for item, count in far.items() if not count <= LIMIT], far
        if not errors["input_grad"] <= TOLERANCES[dtype]:
            record_property("input_grad as we decide", errors["input_grad"])
            errors["input_grad"] = error_with_decisions(model, double, golden, run)
    for item, error in errors.items():
        record_property(item, error)
        print(f"{golden_file.stem} {dtype} {item}: relative error {error:.2e}")
    assert not [item for item, error in errors.items() if not error <= TOLERANCES[dtype]]
