"""The contract trains and tests a job as its protocol says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench_core.data.loader import Loader, Split
from bench_core.declarations import JobEvent
from bench_core.execute.outcome import counted
from bench_core.metrics.counts import micro, per_image
from bench_core.protocol.augmentation import build_augmentation
from bench_core.protocol.contract import Contract
from bench_core.protocol.evaluator import count
from bench_core.spec.protocol import EarlyStopping, Last, Normalization, Rex
from tests.helpers.outcomes import counts_of, numbers
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

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def test_it_learns_and_says_what_it_did() -> None:
    events: list[JobEvent] = []
    contract = tiny_contract(epochs=12, events=events)
    outcome = run(contract)
    assert outcome.training.epochs_run == 12
    assert not outcome.training.stopped_early
    assert outcome.training.history[-1].loss < outcome.training.history[0].loss / 2
    assert (
        outcome.training.best_value
        == max(stats.validation["miou"] for stats in outcome.training.history)
        > 0.5
    )
    assert outcome.tested == "test"
    assert outcome.predictions.ids == ("case-16", "case-17", "case-18", "case-19")
    assert outcome.predictions.labels.shape == (4, 16, 16)
    assert outcome.predictions.labels.dtype == np.uint8
    assert set(np.unique(outcome.predictions.labels)) == {0, 1}
    assert [(event.kind, event.epoch, event.epochs) for event in events] == [
        *(("epoch", epoch, 12) for epoch in range(12)),
        ("testing", 12, 12),
    ]
    assert events[3].metrics == outcome.training.history[3].validation
    assert contract.parameters == sum(parameter.numel() for parameter in contract.model.parameters())


def test_the_chosen_epochs_weights_are_the_ones_tested() -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(epochs=8, rate=0.1, keeper=keeper)
    outcome = run(contract)
    assert keeper.best["epoch"] == outcome.training.chosen_epoch
    fresh = tiny_network(BINARY)
    fresh.load_state_dict(keeper.best["state_dict"])
    fresh.eval()
    data = tiny_arrays(BINARY)
    images, masks = Split(data, range(16, 20), "rgb").read(range(4))
    logits = fresh((images.float() / 255 - 0.5) / 0.5)
    expected = count(logits, masks, BINARY, contract.job.scoring).numpy()
    np.testing.assert_array_equal(counts_of(outcome, data).values, expected)


def test_choosing_the_last_epoch_tests_the_last_weights() -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(epochs=5, rate=0.5, keeper=keeper, checkpoint=Last(choose="last"))
    train(contract)
    last = {name: tensor.clone() for name, tensor in contract.model.state_dict().items()}
    outcome = contract.finish(predictor(contract))
    assert outcome.training.chosen_epoch == 4
    assert outcome.training.best_value == outcome.training.history[4].validation["miou"]
    assert all(torch.equal(tensor, keeper.best["state_dict"][name]) for name, tensor in last.items())


def test_search_jobs_count_their_validation_images() -> None:
    outcome = run(tiny_contract(tested=False))
    assert outcome.tested == "validation"
    assert outcome.predictions.ids == ("case-12", "case-13", "case-14", "case-15")
    chosen = outcome.training.history[outcome.training.chosen_epoch].validation
    assert micro(counts_of(outcome, tiny_arrays(BINARY)).values) == chosen


def test_early_stopping_ends_the_epochs() -> None:
    rule = EarlyStopping(patience=2, min_delta=1.0)
    outcome = run(tiny_contract(epochs=9, early_stopping=rule))
    assert outcome.training.epochs_run == 3
    assert outcome.training.stopped_early


def test_the_rate_follows_the_schedule_and_reaches_the_optimizer(tmp_path: Path) -> None:
    contract = tiny_contract(epochs=4, rate=0.1, schedule=Rex(step="step"))
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
    assert outcome.training.history[0].loss == pytest.approx(sum(loss * size for loss, size in losses) / 12)


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
    return outcome.predictions.labels


def test_randomness_at_inference_depends_on_job_seed_and_sample_alone() -> None:
    first = values_of(1, 4, Noisy())
    np.testing.assert_array_equal(first, values_of(1, 3, Noisy()))
    assert not np.array_equal(first, values_of(2, 4, Noisy()))


def test_cases_show_what_was_counted() -> None:
    arrays = tiny_arrays(THREE)
    contract = tiny_contract(THREE, arrays=arrays, channels="native", epochs=6)
    outcome = run(contract)
    found = counted(outcome, contract.test, THREE.classes)
    dice = dict(zip(found.counts.ids, per_image(found.counts.values)["mdsc"].tolist(), strict=True))
    assert [case.rank for case in found.cases] == ["best", "worst", "median", "worst"]
    for case in found.cases:
        row = arrays.ids.index(case.id)
        np.testing.assert_array_equal(case.image, arrays.images[row])
        np.testing.assert_array_equal(case.mask, arrays.masks[row])
        assert case.prediction.dtype == np.uint8
        assert case.dice == dice[case.id]
        hits = [(case.prediction == label) & (case.mask == label) for label in (1, 2)]
        expected = found.counts.values[found.counts.ids.index(case.id), :, 0]
        assert [int(hit.sum()) for hit in hits] == expected.tolist()


def test_loader_workers_change_no_bit(tmp_path: Path) -> None:
    contract = tiny_contract(epochs=1)
    contract.prepare(CPU)
    split = Split(tiny_arrays(BINARY), range(12), "rgb")
    augment = build_augmentation(contract.training.augmentation, 3, 16)
    loader = Loader(split, 4, seed=contract.seed, augment=augment, workers=2)
    for one, other in zip(contract.train_batches(0), loader.epoch(0), strict=True):
        assert one.ids == other.ids
        torch.testing.assert_close(one.images, (other.images.float() / 255 - 0.5) / 0.5)


def test_contracts_are_independent_of_each_other() -> None:
    alone = run(tiny_contract())
    one, other = tiny_contract(), tiny_contract(seed=9)
    train(other)
    assert isinstance(one, Contract)
    assert numbers(run(one)) == numbers(alone)
