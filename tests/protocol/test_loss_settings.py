"""Focal, Tversky, class weights and label smoothing against other definitions; pixels that count nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench_core.declarations import IGNORE, Task
from bench_core.errors import TrainingError
from bench_core.protocol.loss import Criterion, build_loss, inverse_frequencies
from bench_core.spec.loss import Losses
from tests.helpers.tiny_jobs import BINARY, THREE, history, run, tiny_arrays, tiny_contract

torch.set_num_threads(1)
EVERY: dict[str, Any] = {
    "dice": {},
    "tversky": {"alpha": 0.2, "beta": 0.9},
    "focal": {"gamma": 1.5, "alpha": 0.3},
    "plain": {"label_smoothing": 0.2},
    "weighted": {"weights": {"background": 0.5}, "label_smoothing": 0.1},
}


def loss(task: Task, pixels: Any = None, /, **terms: Any) -> Criterion:
    return build_loss(
        Losses.model_validate({name.replace("_", "-"): term for name, term in terms.items()}), task, pixels
    )


def usual(task: Task) -> str:
    return "bce" if task.binary else "cross-entropy"


def case(name: str, task: Task) -> Criterion:
    key = usual(task) if name in ("plain", "weighted") else name
    return build_loss(Losses.model_validate({key: EVERY[name]}), task)


def batch(task: Task, seed: int = 0, *, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, task.logit_channels, 5, 7, generator=generator)
    masks = torch.randint(0, len(task.classes) + 1, (2, 5, 7), generator=generator)
    return logits, masks


def one_hot(masks: Tensor, task: Task) -> Tensor:
    return F.one_hot(masks, len(task.classes) + 1).movedim(-1, 1).float()


def two_channels(logits: Tensor) -> Tensor:
    """Return the softmax logits of which one sigmoid logit is the difference."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


# Oracles.


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_focal_is_monais(task: Task, gamma: float, alpha: float | None) -> None:
    monai = pytest.importorskip("monai.losses")
    logits, masks = batch(task)
    found = loss(task, focal={"gamma": gamma, "alpha": alpha})(logits, masks)
    oracle = monai.FocalLoss(
        to_onehot_y=not task.binary, use_softmax=not task.binary, gamma=gamma, alpha=alpha
    )
    # Its mean is over channels, too, of which only the pixel's own class is not zero.
    expected = oracle(logits, masks[:, None].float()) * logits.shape[1]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_of_one_channel_is_that_of_two_softmax_channels() -> None:
    logits, masks = batch(BINARY)
    # The third class can never be meant, so that the other two are what one channel has.
    expected = loss(Task(classes=("a", "b"), channels=3), focal={"gamma": 2.0, "alpha": 0.25})(
        torch.cat([two_channels(logits), torch.full_like(logits, -1e4)], dim=1), masks
    )
    assert loss(BINARY, focal={"gamma": 2.0, "alpha": 0.25})(logits, masks).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_focal_without_focus_is_cross_entropy() -> None:
    for task in (BINARY, THREE):
        logits, masks = batch(task)
        plain = build_loss(Losses.model_validate({usual(task): 1}), task)(logits, masks)
        assert loss(task, focal={"gamma": 0})(logits, masks).item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1.0, 0.1)])
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_tversky_is_monais(task: Task, alpha: float, beta: float) -> None:
    monai = pytest.importorskip("monai.losses")
    logits, masks = batch(task)
    oracle = monai.TverskyLoss(
        include_background=task.binary, to_onehot_y=not task.binary, sigmoid=task.binary,
        softmax=not task.binary, alpha=alpha, beta=beta, smooth_nr=0.5, smooth_dr=0.5, batch=True,
    )  # fmt: skip
    found = loss(task, tversky={"alpha": alpha, "beta": beta})(logits, masks)
    assert found.item() == pytest.approx(oracle(logits, masks[:, None].float()).item(), rel=1e-5)


@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_dice_is_monais_and_tversky_of_equal_weights(task: Task) -> None:
    monai = pytest.importorskip("monai.losses")
    logits, masks = batch(task)
    oracle = monai.DiceLoss(
        include_background=task.binary, to_onehot_y=not task.binary, sigmoid=task.binary,
        softmax=not task.binary, smooth_nr=1.0, smooth_dr=1.0, batch=True,
    )  # fmt: skip
    found = loss(task, dice=1)(logits, masks).item()
    assert found == pytest.approx(oracle(logits, masks[:, None].float()).item(), rel=1e-5)
    assert found == pytest.approx(
        loss(task, tversky={"alpha": 0.5, "beta": 0.5})(logits, masks).item(), rel=1e-6
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_is_pytorchs_with_weights_and_smoothing(smoothing: float) -> None:
    logits, masks = batch(THREE)
    masks[0, 0] = IGNORE
    found = loss(
        THREE, cross_entropy={"weights": {"left": 2, "background": 0.5}, "label_smoothing": smoothing}
    )(logits, masks)
    expected = F.cross_entropy(
        logits, masks, weight=torch.tensor([0.5, 2.0, 1.0]), ignore_index=IGNORE, label_smoothing=smoothing
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_bce_smooths_as_cross_entropy_of_two_classes(smoothing: float) -> None:
    logits, masks = batch(BINARY)
    found = loss(BINARY, bce={"label_smoothing": smoothing})(logits, masks)
    expected = F.cross_entropy(two_channels(logits), masks, label_smoothing=smoothing)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bce_weighs_pixels_by_their_class() -> None:
    logits, masks = batch(BINARY)
    found = loss(BINARY, bce={"weights": {"lesion": 3}})(logits, masks)
    expected = F.cross_entropy(two_channels(logits), masks, weight=torch.tensor([1.0, 3.0]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_without_settings_the_numbers_are_pytorchs_to_the_last_bit(task: Task) -> None:
    for seed in range(20):
        logits, masks = batch(task, seed)
        ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
        found = build_loss(Losses.model_validate({usual(task): 1}), task)(ours, masks)
        if task.binary:
            expected = F.binary_cross_entropy_with_logits(theirs[:, 0], masks.float())
        else:
            expected = F.cross_entropy(theirs, masks)
        found.backward()
        expected.backward()
        assert torch.equal(found, expected) and torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]


# Pixels that count nowhere.


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_ignored_pixels_change_neither_loss_nor_gradients(
    task: Task, name: str, seed: int, share: float
) -> None:
    logits, masks = batch(task, seed)
    ignored = torch.rand(masks.shape, generator=torch.Generator().manual_seed(seed)) < share
    masks = torch.where(ignored, IGNORE, masks)
    other = torch.where(ignored[:, None], torch.randn_like(logits) * 30, logits)
    criterion = case(name, task)
    losses, gradients = [], []
    for values in (logits, other):
        leaf = values.clone().requires_grad_()
        found = criterion(leaf, masks)
        found.backward()
        losses.append(found.item())
        gradients.append(leaf.grad)
    assert losses[0] == losses[1]
    for gradient in gradients:
        assert gradient is not None and torch.isfinite(gradient).all()
        assert not gradient[ignored[:, None].expand_as(gradient)].any()
    assert torch.equal(gradients[0], gradients[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_a_batch_of_nothing_but_ignored_pixels_has_loss_0_and_no_gradient(task: Task, name: str) -> None:
    logits, masks = batch(task)
    logits.requires_grad_()
    found = case(name, task)(logits, torch.full_like(masks, IGNORE))
    found.backward()
    assert found.item() == 0.0
    assert logits.grad is not None and not logits.grad.any()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_cut_off_pixels_and_ignored_ones_are_the_same(task: Task, name: str) -> None:
    logits, masks = batch(task)
    masks[:, :, 4:] = IGNORE
    criterion = case(name, task)
    expected = criterion(logits[..., :4], masks[..., :4]).item()
    assert criterion(logits, masks).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_focal_has_finite_gradients_where_the_network_is_certain(task: Task, gamma: float) -> None:
    logits, masks = batch(task, scale=60.0)
    logits.requires_grad_()
    found = loss(task, focal={"gamma": gamma})(logits, masks)
    found.backward()
    assert found.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three"])
def test_gradients_are_those_of_finite_differences(task: Task, name: str) -> None:
    logits, masks = batch(task)
    masks[0, 0] = IGNORE
    criterion = case(name, task)
    assert torch.autograd.gradcheck(
        lambda values: criterion(values, masks), (logits.double().requires_grad_(),), atol=1e-4, eps=1e-5
    )


# Class weights.


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=9).filter(any))
def test_inverse_frequencies_give_each_class_the_same_sum_and_a_pixel_the_mean_1(pixels: list[int]) -> None:
    weights = inverse_frequencies(pixels)
    sums = [weight * count for weight, count in zip(weights, pixels, strict=True) if count]
    assert sums == pytest.approx([sum(pixels) / len(sums)] * len(sums))
    assert sum(sums) / sum(pixels) == pytest.approx(1.0)
    assert all(weight == 0 for weight, count in zip(weights, pixels, strict=True) if not count)


def test_weights_by_frequency_are_those_of_the_training_pixels_alone() -> None:
    contract = tiny_contract(
        THREE, channels="native", loss={"cross-entropy": {"weights": "inverse-frequency"}}
    )
    masks = torch.from_numpy(tiny_arrays(THREE).masks[:12])
    pixels = torch.bincount(masks.flatten().long(), minlength=3)
    expected = dict(zip(("background", "left", "right"), (pixels.sum() / (3 * pixels)).tolist(), strict=True))
    assert contract.class_weights["cross-entropy"] == pytest.approx(expected, rel=1e-6)
    outcome = run(contract)
    assert history(outcome)[0].loss > 0
    assert outcome.training is not None and outcome.training.class_weights == contract.class_weights


def test_weights_of_classes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(TrainingError, match="lesions") as caught:
        loss(BINARY, bce={"weights": {"lesions": 2}})
    assert "background, lesion" in (caught.value.cause or "")
