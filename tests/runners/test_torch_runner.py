"""The torch runner's own affairs: devices, memory, compilation, and leaving the process as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import MissingDependencyError, TrainingError
from bench_core.protocol.contract import RunOptions
from bench_core.protocol.devices import deterministic, open_device
from bench_core.protocol.failures import explain_failures, out_of_memory
from bench_torch.fit import fit
from tests.helpers.tiny_jobs import BINARY, MemoryKeeper, tiny_contract, tiny_job, tiny_network, tiny_training


class _Hungry(nn.Module):
    """Asks for 100 terabytes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        torch.empty(25 * 10**12)
        logits: Tensor = self.head(images)
        return logits


def test_out_of_memory_says_which_batch_and_what_to_do() -> None:
    with pytest.raises(TrainingError) as caught:
        fit(tiny_contract(model=_Hungry(), batch_size=6), RunOptions())
    assert caught.value.message == "out of memory on cpu: batch size 6, 16x16 images, fp32"
    assert "allocate" in (caught.value.cause or "")
    assert "protocol.batch_size (say 3)" in (caught.value.fix or "")
    assert "bf16" in (caught.value.fix or "")


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_recognized_on_every_device(failure: BaseException) -> None:
    training, options = tiny_training(batch_size=1, precision="bf16"), RunOptions(device="cuda:1")
    with (
        pytest.raises(
            TrainingError, match="out of memory on cuda:1: batch size 1, 16x16 images, bf16"
        ) as caught,
        explain_failures(tiny_job(training=training), options),
    ):
        raise failure
    fix = caught.value.fix or ""
    assert "batch_size" not in fix, "there is no smaller batch than one image"
    assert "precision" not in fix
    assert "another --device" in fix


def test_other_failures_pass_unchanged() -> None:
    failure = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as caught, explain_failures(tiny_job(), RunOptions(compile=True)):
        raise failure
    assert caught.value is failure


def test_a_batch_that_cannot_be_normalized_says_so() -> None:
    training = tiny_training(batch_size=1)
    with (
        pytest.raises(TrainingError, match="a batch of 1 at 16x16 cannot be normalized") as caught,
        explain_failures(tiny_job(training=training), RunOptions()),
    ):
        nn.BatchNorm2d(4)(torch.zeros(1, 4, 1, 1))
    assert "batch_size to 2 or more" in (caught.value.fix or "")
    with (
        pytest.raises(ValueError, match="something else"),
        explain_failures(tiny_job(training=training), RunOptions()),
    ):
        raise ValueError("something else")


def test_a_smaller_batch_is_suggested_only_where_there_is_one() -> None:
    error = out_of_memory(tiny_job(training=tiny_training(batch_size=3)), RunOptions(), "")
    assert "(say 1)" in (error.fix or "")
    assert error.cause is None


@pytest.mark.parametrize(
    ("name", "part"), [("gpu", "no such device"), ("cuda:x", "no such device"), ("meta", "no runner drives")]
)
def test_wrong_devices_name_the_right_ones(name: str, part: str) -> None:
    with pytest.raises(TrainingError, match=part) as caught:
        open_device(name)
    assert "cpu, cuda" in (caught.value.fix or "")


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(TrainingError, match="not available") as caught:
            open_device(name)
        assert "--device cpu" in (caught.value.fix or "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert open_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(TrainingError) as caught:
        open_device("cuda:2")
    assert "there are 2 CUDA devices" in (caught.value.cause or "")


def _settings() -> tuple[Any, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    )


def test_deterministic_kernels_inside_and_former_settings_outside() -> None:
    before = _settings()
    with pytest.raises(ValueError), deterministic(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        raise ValueError
    assert _settings() == before


def test_threads_are_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    fit(tiny_contract(epochs=1), RunOptions(threads=3))
    assert asked == [3]


def _small_compiled(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiler(model, backend=backend))


def test_compiled_training_saves_the_networks_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`aot_eager` traces forward and backward as the default backend does, without generating code."""
    _small_compiled(monkeypatch, "aot_eager")
    plain, compiled = MemoryKeeper(), MemoryKeeper()
    for keeper, options in ((plain, RunOptions()), (compiled, RunOptions(compile=True))):
        model = tiny_network(BINARY, dropout=0.0)
        fit(tiny_contract(model=model, keeper=keeper, epochs=2, augmentation=()), options)
    assert plain.state is not None
    assert compiled.state is not None
    assert compiled.state["model"].keys() == plain.state["model"].keys()
    for name, tensor in plain.state["model"].items():
        torch.testing.assert_close(compiled.state["model"][name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_default_compiler_trains_as_eager_does() -> None:
    losses = []
    for options in (RunOptions(), RunOptions(compile=True)):
        model = tiny_network(BINARY, dropout=0.0)
        outcome = fit(tiny_contract(model=model, epochs=3, augmentation=()), options)
        losses.append([stats.loss for stats in outcome.training.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_what_the_compiler_raises_is_explained() -> None:
    from torch._dynamo.exc import TorchDynamoException

    options = RunOptions(compile=True)
    with pytest.raises(MissingDependencyError) as caught, explain_failures(tiny_job(), options):
        raise TorchDynamoException("\nInvalidCxxCompiler: No working C++ compiler found\n\nmore")
    assert caught.value.cause == "InvalidCxxCompiler: No working C++ compiler found"
    assert "runtime.compile: false" in (caught.value.fix or "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:dynamo_pgo")
def test_a_missing_compiler_ends_the_job_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "/nonexistent/compiler"))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    try:
        with pytest.raises(MissingDependencyError) as caught:
            fit(tiny_contract(epochs=1), RunOptions(compile=True))
    finally:
        torch._dynamo.reset()
    assert "torch.compile" in caught.value.message
    assert "compiler" in (caught.value.cause or "")
    assert "runtime.compile: false" in (caught.value.fix or "")
