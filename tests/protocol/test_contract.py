from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench_core.data.loader import Loader, Split
from bench_core.declarations import JobEvent
from bench_core.errors import DataError, TrainingError, WeightsError
from bench_core.protocol.augmentation import build_augmentation
from bench_core.protocol.contract import Contract, Outcome
from bench_core.protocol.evaluator import count
from bench_core.protocol.metrics import micro, per_image
from bench_core.spec.protocol import Checkpoint, EarlyStopping, Normalization, Schedule
from tests.helpers.tiny_jobs import (
    BINARY,
    THREE,
    MemoryKeeper,
    predictor,
    run,
    tiny_arrays,
    tiny_contract,
    tiny_network,
    train,
)

torch.set_num_threads(1)
CPU = torch.device("cpu")


def numbers(outcome: Outcome) -> str:
    """What must be equal in two equal jobs, in full and with NaN equal to NaN: everything but times."""
    history = [(stats.epoch, stats.learning_rate, stats.loss, stats.validation) for stats in outcome.history]
    cases = [(case.id, case.rank, case.dice, case.prediction.tobytes()) for case in outcome.cases]
    chosen = (outcome.epochs_run, outcome.stopped_early, outcome.chosen_epoch, outcome.best_value)
    return repr([history, cases, chosen, outcome.counts.ids, outcome.counts.values.tolist()])


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_it_learns_and_says_what_it_did() -> None:
    events: list[JobEvent] = []
    contract = tiny_contract(epochs=12, events=events)
    outcome = run(contract)
    assert outcome.epochs_run == 12
    assert not outcome.stopped_early
    assert outcome.history[-1].loss < outcome.history[0].loss / 2
    assert outcome.best_value == max(stats.validation["miou"] for stats in outcome.history) > 0.5
    assert outcome.counts_split == "test"
    assert outcome.counts.ids == ("case-16", "case-17", "case-18", "case-19")
    assert outcome.counts.groups == ("patient-8", "patient-8", "patient-9", "patient-9")
    assert outcome.counts.classes == ("lesion",)
    assert outcome.counts.values.shape == (4, 1, 3)
    assert [(event.kind, event.epoch, event.epochs) for event in events] == [
        *(("epoch", epoch, 12) for epoch in range(12)),
        ("testing", 12, 12),
    ]
    assert events[3].metrics == outcome.history[3].validation
    assert contract.parameters == sum(parameter.numel() for parameter in contract.model.parameters())


def test_the_chosen_epochs_weights_are_the_ones_tested() -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(epochs=8, rate=0.1, keeper=keeper)
    outcome = run(contract)
    assert keeper.best["epoch"] == outcome.chosen_epoch
    fresh = tiny_network(BINARY)
    fresh.load_state_dict(keeper.best["state_dict"])
    fresh.eval()
    data = tiny_arrays(BINARY)
    images, masks = Split(data, range(16, 20), "rgb").read(range(4))
    logits = fresh((images.float() / 255 - 0.5) / 0.5)
    expected = count(logits, masks, BINARY, contract.training.metrics).numpy()
    np.testing.assert_array_equal(outcome.counts.values, expected)


def test_choosing_the_last_epoch_tests_the_last_weights() -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(epochs=5, rate=0.5, keeper=keeper, checkpoint=Checkpoint(choose="last"))
    train(contract)
    last = {name: tensor.clone() for name, tensor in contract.model.state_dict().items()}
    outcome = contract.finish(predictor(contract))
    assert outcome.chosen_epoch == 4
    assert outcome.best_value == outcome.history[4].validation["miou"]
    assert all(torch.equal(tensor, keeper.best["state_dict"][name]) for name, tensor in last.items())


def test_search_jobs_count_their_validation_images() -> None:
    outcome = run(tiny_contract(tested=False))
    assert outcome.counts_split == "validation"
    assert outcome.counts.ids == ("case-12", "case-13", "case-14", "case-15")
    chosen = outcome.history[outcome.chosen_epoch].validation
    assert micro(outcome.counts.values) == chosen


def test_early_stopping_ends_the_epochs() -> None:
    rule = EarlyStopping(patience=2, min_delta=1.0)
    outcome = run(tiny_contract(epochs=9, early_stopping=rule))
    assert outcome.epochs_run == 3
    assert outcome.stopped_early


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "fp16", "gradient_clipping": 0.5},
        {"precision": "bf16", "schedule": Schedule(step="step")},
        {"checkpoint": Checkpoint(choose="last")},
        {"early_stopping": EarlyStopping(patience=2, min_delta=0.05)},
        {"task": THREE, "channels": "native", "loss": {"cross-entropy": 0.5, "dice": 0.5}},
    ],
    ids=["plain", "fp16", "bf16-step", "last", "stopping", "three-classes"],
)
def test_a_killed_job_goes_on_and_ends_with_the_same_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    unbroken = tiny_contract(epochs=5, rate=0.05, trace=tmp_path / "unbroken.jsonl", **changes)
    expected = run(unbroken)
    for killed_in in range(expected.epochs_run):
        path, keeper = tmp_path / f"killed-in-{killed_in}.jsonl", MemoryKeeper()
        train(tiny_contract(epochs=5, rate=0.05, trace=path, keeper=keeper, **changes), stop_before=killed_in)
        torch.manual_seed(killed_in)
        resumed = tiny_contract(epochs=5, rate=0.05, trace=path, keeper=keeper, **changes)
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
    settings: dict[str, Any] = {"epochs": 12}
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


def test_the_rate_follows_the_schedule_and_reaches_the_optimizer(tmp_path: Path) -> None:
    contract = tiny_contract(epochs=4, rate=0.1, schedule=Schedule(step="step"))
    contract.prepare(CPU)
    found = [contract.begin_step(epoch, step) for epoch in range(4) for step in range(3)]
    progress = [step / 12 for step in range(12)]
    assert found == pytest.approx([0.1 * (1 - t) / (0.5 + 0.5 * (1 - t)) for t in progress])


def test_batches_are_normalized_on_the_device() -> None:
    contract = tiny_contract(augmentation=(), normalization=Normalization(mean=0.25, std=0.5))
    contract.prepare(CPU)
    batch = next(iter(contract.train_batches(0)))
    images, masks = Split(tiny_arrays(BINARY), range(20), "rgb").read([int(name[-2:]) for name in batch.ids])
    torch.testing.assert_close(batch.images, (images.float() / 255 - 0.25) / 0.5)
    assert torch.equal(batch.masks, masks.long())


def test_order_and_augmentation_of_an_epoch_do_not_depend_on_the_steps_before() -> None:
    fresh, used = tiny_contract(), tiny_contract()
    train(used)
    fresh.prepare(CPU)
    for one, other in zip(fresh.train_batches(2), used.train_batches(2), strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)


def test_the_epochs_loss_is_weighted_by_samples(tmp_path: Path) -> None:
    contract = tiny_contract(epochs=1, batch_size=5)
    outcome = run(contract)
    contract = tiny_contract(epochs=1, batch_size=5)
    contract.prepare(CPU)
    losses = []
    for epoch in contract.epochs():
        for step, batch in enumerate(contract.train_batches(epoch)):
            contract.begin_step(epoch, step)
            loss = contract.loss(contract.model(batch.images), batch.masks)
            losses.append((loss.item(), len(batch.ids)))
            contract.optimize(loss)
            contract.end_step(batch, loss)
        contract.end_epoch(epoch, predictor(contract))
    assert [size for _, size in losses] == [5, 5, 2]
    assert outcome.history[0].loss == pytest.approx(sum(loss * size for loss, size in losses) / 12)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradients_are_clipped_before_the_step(precision: str) -> None:
    def weights_after_one_step(clipping: float | None) -> Tensor:
        model = nn.Conv2d(3, 1, 1)
        nn.init.ones_(model.weight)
        nn.init.zeros_(model.bias)
        contract = tiny_contract(
            model=model,
            rate=1.0,
            precision=precision,
            gradient_clipping=clipping,
            optimizer={"name": "sgd", "momentum": 0.0, "weight_decay": 0.0},
        )
        contract.prepare(CPU)
        batch = next(iter(contract.train_batches(0)))
        contract.begin_step(0, 0)
        with contract.autocast():
            logits = contract.model(batch.images)
        contract.optimize(0.5 * contract.loss(logits, batch.masks))
        moved = torch.cat([(model.weight - 1).flatten(), model.bias])
        return moved.detach()

    free, clipped = weights_after_one_step(None), weights_after_one_step(0.01)
    assert free.norm() > 0.05
    torch.testing.assert_close(clipped, free * 0.01 / free.norm(), rtol=1e-2, atol=1e-5)


def test_fp16_leaves_out_a_step_that_overflows_and_goes_on() -> None:
    contract = tiny_contract(precision="fp16")
    contract.prepare(CPU)
    before = [parameter.clone() for parameter in contract.model.parameters()]
    overflowing = sum(parameter.sum() for parameter in contract.model.parameters()) * 3e38
    contract.optimize(overflowing)
    assert all(torch.equal(*pair) for pair in zip(before, contract.model.parameters(), strict=True))
    contract.optimize(sum(parameter.square().sum() for parameter in contract.model.parameters()))
    assert not torch.equal(before[0], next(contract.model.parameters()))


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_the_network_computes_in_the_jobs_precision_and_the_loss_in_single(
    precision: str, kind: torch.dtype
) -> None:
    contract = tiny_contract(precision=precision)
    contract.prepare(CPU)
    batch = next(iter(contract.train_batches(0)))
    with contract.autocast():
        logits = contract.model(batch.images)
        loss = contract.loss(logits, batch.masks)
    assert logits.dtype == kind
    assert loss.dtype == torch.float32


class Exploding(nn.Module):
    """Its logits become NaN in the given mode, after some calls."""

    def __init__(self, *, training: bool, after: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 1, 1)
        self.mode, self.left = training, after

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        if self.training == self.mode:
            self.left -= 1
        return logits * math.nan if self.left < 0 else logits


def test_a_nan_loss_ends_the_job_with_epoch_step_and_a_way_out(tmp_path: Path) -> None:
    keeper, path = MemoryKeeper(), tmp_path / "trace.jsonl"
    contract = tiny_contract(model=Exploding(training=True, after=4), keeper=keeper, trace=path)
    with pytest.raises(TrainingError, match="the loss is nan at step 1 of epoch 1") as caught:
        run(contract)
    assert "learning rate" in str(caught.value.fix)
    assert keeper.state is not None
    assert len(keeper.state["history"]) == 1
    assert '"loss":null' in path.read_text()


def test_nan_predictions_are_an_error_and_not_background() -> None:
    with pytest.raises(TrainingError, match="predicts NaN for 4 of 4 images"):
        run(tiny_contract(model=Exploding(training=False, after=0)))


def test_a_model_with_the_wrong_head_is_refused_in_training_and_validation() -> None:
    contract = tiny_contract(model=nn.Conv2d(3, 2, 1))
    with pytest.raises(TrainingError, match=r"\[4, 2, 16, 16\] instead of \[4, 1, 16, 16\]"):
        train(contract)
    contract = tiny_contract()
    with pytest.raises(TrainingError, match="logits of shape"):
        contract.prepare(CPU)
        for epoch in contract.epochs():
            for step, batch in enumerate(contract.train_batches(epoch)):
                contract.begin_step(epoch, step)
                loss = contract.loss(contract.model(batch.images), batch.masks)
                contract.optimize(loss)
                contract.end_step(batch, loss)
            contract.end_epoch(epoch, lambda images: contract.model(images)[:, :, ::2])


def test_a_mask_outside_the_task_is_refused() -> None:
    arrays = tiny_arrays(THREE)
    with pytest.raises(DataError, match="class 2"):
        run(tiny_contract(BINARY, arrays=arrays))


def test_validation_runs_in_evaluation_mode_without_gradients_and_training_goes_on() -> None:
    contract = tiny_contract(epochs=2)
    seen: list[tuple[bool, bool]] = []

    def predict(images: Tensor) -> Tensor:
        seen.append((contract.model.training, torch.is_grad_enabled()))
        logits: Tensor = contract.model(images)
        return logits

    contract.prepare(CPU)
    for epoch in contract.epochs():
        assert contract.model.training
        for step, batch in enumerate(contract.train_batches(epoch)):
            contract.begin_step(epoch, step)
            loss = contract.loss(contract.model(batch.images), batch.masks)
            contract.optimize(loss)
            contract.end_step(batch, loss)
        contract.end_epoch(epoch, predict)
        assert contract.model.training
    contract.finish(predict)
    assert set(seen) == {(False, False)}


class Noisy(nn.Module):
    """Adds random noise to its logits, at inference too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 1, 1)
        nn.init.zeros_(self.body.weight)
        nn.init.zeros_(self.body.bias)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits + torch.randn_like(logits)


def values_of(seed: int, batch_size: int, model: nn.Module) -> np.ndarray:
    contract = tiny_contract(
        model=model, seed=seed, batch_size=batch_size, random_at_inference=True, epochs=1, rate=1e-30
    )
    torch.manual_seed(batch_size)
    state = torch.get_rng_state()
    contract.prepare(CPU)
    train(contract)
    torch.set_rng_state(state)
    outcome = contract.finish(predictor(contract))
    assert torch.equal(torch.get_rng_state(), state)
    return outcome.counts.values


def test_randomness_at_inference_depends_on_job_seed_and_sample_alone() -> None:
    first = values_of(1, 4, Noisy())
    np.testing.assert_array_equal(first, values_of(1, 3, Noisy()))
    assert not np.array_equal(first, values_of(2, 4, Noisy()))


def test_cases_show_what_was_counted() -> None:
    arrays = tiny_arrays(THREE)
    outcome = run(tiny_contract(THREE, arrays=arrays, channels="native", epochs=6))
    dice = dict(zip(outcome.counts.ids, per_image(outcome.counts.values)["mdsc"].tolist(), strict=True))
    assert [case.rank for case in outcome.cases] == ["best", "worst", "median", "worst"]
    for case in outcome.cases:
        row = arrays.ids.index(case.id)
        np.testing.assert_array_equal(case.image, arrays.images[row])
        np.testing.assert_array_equal(case.mask, arrays.masks[row])
        assert case.prediction.dtype == np.uint8
        assert case.dice == dice[case.id]
        hits = [(case.prediction == label) & (case.mask == label) for label in (1, 2)]
        expected = outcome.counts.values[outcome.counts.ids.index(case.id), :, 0]
        assert [int(hit.sum()) for hit in hits] == expected.tolist()


@pytest.mark.parametrize("fault", ["unprepared", "no end of epoch", "steps left out"])
def test_a_runner_that_breaks_the_order_is_told(fault: str) -> None:
    contract = tiny_contract()
    with pytest.raises(TrainingError, match="the runner"):
        if fault == "unprepared":
            contract.begin_step(0, 0)
        contract.prepare(CPU)
        for epoch in contract.epochs():
            if fault == "steps left out":
                contract.end_epoch(epoch, predictor(contract))


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"cross-entropy": 1.0}},
        {"normalization": Normalization(mean=[0.1, 0.2])},
        {"augmentation": (("RandomCrop", {"size": 7}),)},
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_before_anything_runs(changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError) as caught:
        tiny_contract(**changes)
    assert caught.value.fix


def test_loader_workers_change_no_bit(tmp_path: Path) -> None:
    contract = tiny_contract(epochs=1)
    contract.prepare(CPU)
    split = Split(tiny_arrays(BINARY), range(12), "rgb")
    augment = build_augmentation(contract.training.augmentation, 3, 16)
    loader = Loader(split, 4, seed=5, augment=augment, workers=2)
    for one, other in zip(contract.train_batches(0), loader.epoch(0), strict=True):
        assert one.ids == other.ids
        torch.testing.assert_close(one.images, (other.images.float() / 255 - 0.5) / 0.5)


def test_contracts_are_independent_of_each_other() -> None:
    alone = run(tiny_contract())
    one, other = tiny_contract(), tiny_contract(seed=9)
    train(other)
    assert isinstance(one, Contract)
    assert numbers(run(one)) == numbers(alone)
