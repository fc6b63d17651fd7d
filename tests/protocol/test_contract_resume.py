"""A job that is killed anywhere resumes with the same bits, and takes nothing that is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench_core.errors import WeightsError
from bench_core.spec.protocol import EarlyStopping, Last, Rex
from tests.helpers.outcomes import assert_same_weights, numbers
from tests.helpers.tiny_jobs import (
    THREE,
    MemoryKeeper,
    predictor,
    run,
    tiny_contract,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


ANYWHERE, EARLY_AND_LATE = (0, 1, 2, 3), (0, 2)


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        pytest.param({}, ANYWHERE, id="plain"),
        pytest.param({"precision": "fp16", "gradient_clipping": 0.5}, EARLY_AND_LATE, id="fp16"),
        pytest.param({"precision": "bf16", "schedule": Rex(step="step")}, EARLY_AND_LATE, id="bf16-step"),
        pytest.param({"checkpoint": Last(choose="last")}, EARLY_AND_LATE, id="last"),
        pytest.param(
            {"early_stopping": EarlyStopping(patience=2, min_delta=0.05)}, EARLY_AND_LATE, id="stopping"
        ),
        pytest.param(
            {"task": THREE, "channels": "native", "loss": {"cross-entropy": 0.5, "dice": 0.5}},
            EARLY_AND_LATE,
            id="three-classes",
        ),
    ],
)
def test_a_killed_job_goes_on_and_ends_with_the_same_bits(
    changes: dict[str, Any], epochs: tuple[int, ...], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 4, "rate": 0.05, **changes}
    unbroken = tiny_contract(trace=tmp_path / "unbroken.jsonl", **settings)
    expected = run(unbroken)
    for killed_in in epochs:
        path, keeper = tmp_path / f"killed-in-{killed_in}.jsonl", MemoryKeeper()
        train(tiny_contract(trace=path, keeper=keeper, **settings), stop_before=killed_in)
        torch.manual_seed(killed_in)
        resumed = tiny_contract(trace=path, keeper=keeper, **settings)
        assert numbers(run(resumed)) == numbers(expected)
        assert_same_weights(resumed.model, unbroken.model)
        assert path.read_bytes() == (tmp_path / "unbroken.jsonl").read_bytes()


def test_a_job_killed_after_its_last_epoch_only_tests(tmp_path: Path) -> None:
    keeper, path = MemoryKeeper(), tmp_path / "trace.jsonl"
    expected = run(tiny_contract(keeper=keeper, trace=path))
    trace = path.read_bytes()
    resumed = tiny_contract(keeper=keeper, trace=path)
    resumed.prepare(CPU)
    assert list(resumed.epochs()) == []
    assert numbers(resumed.finish(predictor(resumed))) == numbers(expected)
    assert path.read_bytes() == trace


class Killed(BaseException):
    """Stands for the end of the process."""


class FatalKeeper(MemoryKeeper):
    """Its process ends just before (or in) the given call of one of its methods."""

    def __init__(self, method: str, call: int) -> None:
        super().__init__()
        self.method, self.left = method, call

    def _count(self, method: str) -> None:
        if method == self.method:
            self.left -= 1
            if self.left == -1:
                raise Killed

    def save(self, state: dict[str, Any]) -> None:
        self._count("save")
        super().save(state)

    def save_best(self, weights: dict[str, Any]) -> None:
        self._count("save_best")
        super().save_best(weights)


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("method", ["save", "save_best"])
def test_a_kill_between_trace_and_state_leaves_no_trace(method: str, call: int, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 6, "rate": 0.1}
    unbroken = tiny_contract(trace=tmp_path / "unbroken", **settings)
    expected = run(unbroken)
    keeper = FatalKeeper(method, call)
    with pytest.raises(Killed):
        run(tiny_contract(keeper=keeper, trace=tmp_path / "killed", **settings))
    resumed = tiny_contract(keeper=keeper, trace=tmp_path / "killed", **settings)
    assert numbers(run(resumed)) == numbers(expected)
    assert_same_weights(resumed.model, unbroken.model)
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "unbroken").read_bytes()


def test_the_gradient_scale_outlives_a_kill() -> None:
    keeper = MemoryKeeper()
    train(tiny_contract(precision="fp16", keeper=keeper), stop_before=2)
    assert keeper.state is not None
    keeper.state["scaler"]["scale"] = 1024.0
    run(tiny_contract(precision="fp16", keeper=keeper))
    assert len(keeper.state["history"]) == 4
    assert keeper.state["scaler"]["scale"] == 1024.0


def test_what_is_kept_can_be_loaded_without_running_code(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    run(tiny_contract(keeper=keeper, precision="fp16"))
    for content in (keeper.state, keeper.best):
        torch.save(content, tmp_path / "state.pt")
        assert torch.load(tmp_path / "state.pt", weights_only=True).keys() == content.keys()  # type: ignore[union-attr]


def test_equal_jobs_have_equal_traces_and_other_seeds_have_others(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        np.random.seed(seed)
        run(tiny_contract(trace=tmp_path / name, seed=seed))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


@pytest.mark.parametrize("field", ["state", "weights"])
def test_a_state_that_is_not_this_jobs_is_refused(field: str) -> None:
    keeper = MemoryKeeper()
    run(tiny_contract(keeper=keeper))
    assert keeper.state is not None
    if field == "state":
        keeper.state["digest"] = "other"
        contract = tiny_contract(keeper=keeper)
    else:
        contract = tiny_contract(keeper=keeper, model=nn.Conv2d(3, 1, 1))
    with pytest.raises(WeightsError) as caught:
        contract.prepare(CPU)
    assert caught.value.fix


def test_kept_weights_of_another_epoch_are_never_tested() -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(keeper=keeper)
    train(contract)
    keeper.best["epoch"] = 77
    with pytest.raises(WeightsError, match="epoch 77"):
        contract.finish(predictor(contract))
