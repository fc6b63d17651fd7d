"""Batch norm in a job of several processes: the steps of one process, or a departure that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import TrainingError
from bench_core.protocol.contract import Contract
from bench_core.protocol.ranks import Ranks
from bench_core.spec.protocol import SGD
from tests.helpers.linked_ranks import together
from tests.helpers.tiny_jobs import BINARY, MemoryKeeper, run, tiny_contract, tiny_network

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(world: int, folder: Path, **changes: Any) -> list[Contract]:
    """Return the contract of each process; no network draws, since threads share generators."""
    networks = [tiny_network(BINARY, dropout=0.0) for _ in range(world)]
    folder.mkdir()

    def work(ranks: Ranks) -> Contract:
        contract = tiny_contract(
            ranks=ranks,
            model=networks[ranks.rank],
            keeper=MemoryKeeper(),
            trace=folder / "trace.jsonl" if ranks.first else None,
            augmentation=(),
            **changes,
        )
        run(contract)
        contract.close()
        return contract

    return together(world, work) if world > 1 else [work(Ranks())]


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "trace.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        (2, {"batch_size": 5}),
        (3, {"batch_size": 4, "loss": {"bce": 0.5, "dice": 0.5}}),
        (2, {"batch_size": 5, "micro_batch": 2}),
        (5, {"batch_size": 4}),
    ],
    ids=str,
)
def test_networks_with_batch_norm_take_the_steps_of_one_process(
    world: int, changes: dict[str, Any], tmp_path: Path
) -> None:
    # AdamW would turn the gradient of a bias before a norm, which is a rounding of 0, into a whole step.
    changes = {"epochs": 2, "optimizer": SGD(name="sgd")} | changes
    (alone,) = trained(1, tmp_path / "one", **changes)
    found = trained(world, tmp_path / "several", **changes)
    assert losses(tmp_path / "several") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    for contract in found:
        for name, expected in alone.model.state_dict().items():
            torch.testing.assert_close(contract.model.state_dict()[name], expected, rtol=0, atol=1e-5)
    assert functional.batch_norm.__module__ == functional.__name__


def test_a_process_that_had_no_image_draws_on_where_the_others_are() -> None:
    """Eleven images in parts of two and of one: the second process has none of the last."""

    def work(ranks: Ranks) -> list[float]:
        contract = tiny_contract(ranks=ranks, batch_size=11, micro_batch=2, model=tiny_network(BINARY))
        told: list[Any] = []
        usual = ranks.tell
        ranks.tell = lambda value: told.append(usual(value)) or told[-1]  # type: ignore[method-assign, func-returns-value]
        contract.prepare(torch.device("cpu"))
        epoch = next(contract.epochs())
        told.clear()
        for step, batch in enumerate(contract.train_batches(epoch)):
            contract.begin_step(epoch, step)
            loss = contract.loss(contract.model(batch.images), batch.masks)
            contract.optimize(loss)
            contract.end_step(batch, loss)
        contract.close()
        return [len(state["torch"]) for state in told]

    assert together(2, work) == [[len(torch.get_rng_state())]] * 2


class Frozen(nn.Module):
    """Keeps its norm out of training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.norm(images)
        return out


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: nn.BatchNorm2d(3), ["batch norm is synchronized over 2 devices"]),
        (lambda: nn.BatchNorm2d(3).eval(), ["batch norm is synchronized over 2 devices"]),
        (lambda: nn.SyncBatchNorm(3), ["batch norm is synchronized over 2 devices"]),
        (
            lambda: nn.BatchNorm2d(3, track_running_stats=False),
            ["synchronized", "without running statistics"],
        ),
        (lambda: nn.GroupNorm(1, 3), []),
        (lambda: nn.InstanceNorm2d(3), []),
        (Frozen, []),
    ],
    ids=["plain", "built in evaluation mode", "synchronized", "untracked", "group", "instance", "frozen"],
)
def test_what_batch_norm_means_on_several_devices_is_named(network: Any, words: list[str]) -> None:
    notes = tiny_contract(ranks=Ranks(1, 2), model=network()).notes
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))
    assert tiny_contract(model=network()).notes == ()


def test_without_synchronization_each_process_looks_at_its_own_images_and_it_is_named(tmp_path: Path) -> None:
    (alone,) = trained(1, tmp_path / "one", epochs=1)
    found = trained(2, tmp_path / "apart", epochs=1, norm_devices=2)
    # The variance within parts lacks that between them.
    variances = [contract.model.get_buffer("1.running_var") for contract in (alone, found[0])]
    assert (variances[0] - variances[1]).abs().max() > 1e-4
    assert ["part of a batch that each of 2 devices has" in note for note in found[0].notes] == [True]
    first, second = (contract.model.state_dict() for contract in found)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("world", [1, 3])
def test_a_job_without_synchronization_is_for_its_number_of_devices(world: int) -> None:
    contract = tiny_contract(ranks=Ranks(0, world), norm_devices=2)
    with pytest.raises(TrainingError, match=f"for 2 devices, and is trained by {world}") as caught:
        contract.prepare(torch.device("cpu"))
    assert "devices_per_job: 2" in (caught.value.fix or "")
