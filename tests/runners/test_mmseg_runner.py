"""MMEngine around the contract: bit for bit what the native loop gives."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("mmengine")

from bench_core.protocol.contract import RunOptions
from bench_core.protocol.ranks import Ranks
from bench_core.protocol.shared_draws import Rows
from bench_core.protocol.whole_batch import WholeBatch
from bench_core.spec.protocol import AdamW, EarlyStopping, Last
from bench_mmseg import fit as mmseg
from bench_torch import fit as native
from tests.helpers.left_behind import Fit, Left, assert_equal, same_bits, untimed
from tests.helpers.linked_ranks import together
from tests.helpers.tiny_jobs import BINARY, THREE, MemoryKeeper, tiny_contract, tiny_network

STOPPING = EarlyStopping(patience=2, min_delta=0.05)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="as usual"),
        pytest.param({"task": THREE, "channels": "native"}, id="three classes, one channel"),
        pytest.param({"batch_size": 5}, id="last batch smaller"),
        pytest.param({"batch_size": 11}, id="last batch of one left out"),
        pytest.param({"epochs": 12, "early_stopping": STOPPING}, id="early stopping"),
        pytest.param({"gradient_clipping": 0.1}, id="clipping"),
        pytest.param({"micro_batch": 2, "batch_size": 5}, id="batches in parts"),
        pytest.param(
            {"optimizer": AdamW(decay="weights-only", layer_decay=0.5), "encoder": ("0", "1")}, id="groups"
        ),
        pytest.param({"loss": {"focal": {"weights": "inverse-frequency"}}}, id="focal, weighted classes"),
        pytest.param({"random_at_inference": True}, id="random at inference"),
        pytest.param({"tested": False, "checkpoint": Last(choose="last")}, id="no test images, last epoch"),
        pytest.param({"precision": "bf16"}, id="bf16"),
        pytest.param({"precision": "fp16"}, id="fp16"),
        pytest.param({"loader_workers": 2, "epochs": 2}, id="loader processes"),
    ],
)
def test_everything_equals_the_native_loops(tmp_path: Path, settings: dict[str, Any]) -> None:
    ours = Left(mmseg.fit, tmp_path / "mmseg", **settings)
    theirs = Left(native.fit, tmp_path / "torch", **settings)
    assert_equal(ours, theirs)
    if "early_stopping" in settings:
        assert ours.outcome.training.stopped_early


class _Killed(BaseException):
    """What no runner may handle."""


@pytest.mark.parametrize("runners", [(native.fit, mmseg.fit), (mmseg.fit, native.fit)])
def test_a_job_resumes_under_the_other_runner(tmp_path: Path, runners: tuple[Fit, Fit]) -> None:
    """Killed within the second epoch; the state that the contract saved is neither runner's own."""
    first, second = runners
    whole = Left(native.fit, tmp_path / "whole")
    broken = MemoryKeeper()
    contract = tiny_contract(keeper=broken, trace=tmp_path / "trace")
    steps = 0

    def kill(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal steps
        steps += module.training
        if steps > 4:
            raise _Killed

    contract.model.register_forward_hook(kill)
    with pytest.raises(_Killed):
        first(contract, RunOptions())
    outcome = second(tiny_contract(keeper=broken, trace=tmp_path / "trace"), RunOptions())
    assert same_bits(untimed(broken.state), untimed(whole.keeper.state))
    assert (tmp_path / "trace").read_bytes() == whole.trace
    np.testing.assert_array_equal(outcome.predictions.labels, whole.outcome.predictions.labels)


def test_a_finished_training_is_only_tested(tmp_path: Path) -> None:
    done = Left(mmseg.fit, tmp_path / "trace")
    contract = tiny_contract(keeper=done.keeper, trace=tmp_path / "trace")
    trained = []
    contract.model.register_forward_hook(lambda module, inputs, output: trained.append(module.training))
    outcome = mmseg.fit(contract, RunOptions())
    assert trained and not any(trained)
    np.testing.assert_array_equal(outcome.predictions.labels, done.outcome.predictions.labels)


def test_random_states_are_the_native_loops(tmp_path: Path) -> None:
    """What a network draws from any of the global generators is the same under both runners."""
    drawn: list[list[float]] = []
    for fit in (native.fit, mmseg.fit):
        contract, values = tiny_contract(epochs=2), []

        def draw(module: nn.Module, inputs: object, values: list[float] = values) -> None:
            values.extend((random.random(), float(np.random.random()), float(torch.rand(()))))

        contract.model.register_forward_pre_hook(draw)
        random.seed(len(drawn))
        fit(contract, RunOptions())
        drawn.append(values)
    trained = 2 * 3 * 3
    assert len(drawn[0]) > trained
    assert drawn[0] == drawn[1]


def test_weights_are_not_initialized_again() -> None:
    class Guarded(nn.Sequential):
        def init_weights(self) -> None:
            raise AssertionError("MMEngine initialized the network")

    mmseg.fit(tiny_contract(model=Guarded(*tiny_network(BINARY)), epochs=1), RunOptions())


def test_synchronized_batch_norm_trains_on_one_device_as_plain(tmp_path: Path) -> None:
    plain = Left(mmseg.fit, tmp_path / "plain")
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(tiny_network(BINARY))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in synchronized.modules())
    assert_equal(Left(mmseg.fit, tmp_path / "synchronized", model=synchronized), plain)


def test_compiled_training_equals_the_native_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiler(model, backend="aot_eager"))
    both = []
    for fit in (native.fit, mmseg.fit):
        torch._dynamo.reset()
        settings = {"model": tiny_network(BINARY), "epochs": 2}
        both.append(Left(fit, tmp_path / fit.__module__, RunOptions(compile=True), **settings))
    torch._dynamo.reset()
    assert_equal(*both)


def test_the_bases_that_emanet_keeps_are_those_of_the_whole_batch() -> None:
    """mmseg's own function would weigh processes of three images and of one alike."""
    from mmseg.models.decode_heads.ema_head import EMAModule

    import bench_mmseg.segmentor  # noqa: F401

    torch.manual_seed(0)
    images = torch.randn(4, 5, 3, 3)
    whole, *parts = (copy.deepcopy(each) for each in (EMAModule(5, 2, 2, 0.1),) * 3)
    expected = whole(images)

    def work(ranks: Ranks) -> Tensor:
        batch, place = WholeBatch(ranks.gather_active), (slice(0, 3), slice(3, 4))[ranks.rank]
        batch.enter(Rows(place.start, place.stop - place.start, 4))
        out: Tensor = parts[ranks.rank](images[place])
        batch.leave()
        return out

    torch.testing.assert_close(torch.cat(together(2, work)), expected)
    for part in parts:
        torch.testing.assert_close(part.bases, whole.bases)
