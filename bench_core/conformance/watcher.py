"""Notes what network and optimizer are given, and in which state of the program they compute."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench_core.conformance.record import START, TRAINING, Log, digest, hash_of, shape_of, tensors_of
from bench_core.protocol.contract import Predict

Interrupt = Callable[[int, int], None]
"""Called before each optimizer step with its epoch and its number in it, both from 0; may end the process."""


class Watcher:
    """Hooks on a network and its optimizer: they see what is computed, whatever a runner says of it."""

    def __init__(self, log: Log, model: nn.Module, interrupt: Interrupt) -> None:
        self._log, self._model, self._interrupt = log, model, interrupt
        self._device = torch.device("cpu")
        self._epoch = self._steps = 0
        self._evaluating = False
        self._passes: list[tuple[str, str]] | None = None
        """Mode and numerics of the network's forward passes in the prediction that is under way."""

    def attach(self, optimizer: torch.optim.Optimizer, device: torch.device, epoch: int) -> None:
        """Listen from now on; the next epoch to train is `epoch`."""
        self._device, self._epoch = device, epoch
        self._model.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        optimizer.register_step_pre_hook(self._before_step)

    @property
    def training(self) -> bool:
        """True where a computation belongs to training: gradients are on, and no evaluation is under way."""
        return torch.is_grad_enabled() and not self._evaluating

    def enter_training(self) -> None:
        """Make the present epoch the section that is written, with the weights that it starts from."""
        if self._log.key != (self._epoch, TRAINING):
            self._log.enter((self._epoch, START))
            self._log.note("weights", tensors_of(self._model.state_dict(), keep=False))
            self._log.enter((self._epoch, TRAINING))
            self._steps = 0

    def leave_epoch(self) -> None:
        """Count what follows to the next epoch."""
        self._log.leave()
        self._epoch += 1

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Count what the network computes inside to an evaluation."""
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False

    def watched(self, predict: Predict, item: str) -> Predict:
        """Return `predict`, with each of its results noted as `item`."""

        def watched(images: Tensor) -> Tensor:
            self._passes = []
            try:
                logits = predict(images)
            finally:
                passes, self._passes = self._passes, None
            modes = sorted({mode for mode, _ in passes}) or ["the contract's network was not called"]
            self._log.note("evaluation mode", ", ".join(modes))
            self._log.note("precision", ", ".join(sorted({numerics for _, numerics in passes})))
            self._log.note(item, tensors_of({"logits": logits}, keep=True))
            return logits

        return watched

    def _before_forward(self, model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if self._passes is not None:
            self._passes.append((_mode(model), self._numerics()))
        elif self.training:
            self.enter_training()
            images = next(value for value in (*arguments, *named.values()) if isinstance(value, Tensor))
            self._log.note("augmented batches", f"{shape_of(images)} {hash_of(images)}")
            self._log.note("training mode", _mode(model))
            self._log.note("precision", self._numerics())
            self._log.note("random numbers", self._generators())

    def _before_step(self, optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
        self.enter_training()
        self._interrupt(self._epoch, self._steps)
        self._steps += 1
        self._log.note("gradient norm", _gradient_norm(optimizer))
        self._log.note("optimizer", _settings(optimizer))
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._log.note("learning rate", rates[0] if len(rates) == 1 else rates)

    def _numerics(self) -> str:
        kind = self._device.type
        half = str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
        cast = f"autocast {half}" if torch.is_autocast_enabled(kind) else "no autocast"
        kernels = "deterministic" if torch.are_deterministic_algorithms_enabled() else "any kernels"
        threads = torch.get_num_threads()
        products = f", float32 products {torch.get_float32_matmul_precision()}" if kind == "cuda" else ""
        return f"{cast}, {kernels}, {threads} thread{'s' * (threads > 1)}{products}"

    def _generators(self) -> dict[str, str]:
        _, keys, position, *_ = np.random.get_state()
        states = {
            "torch": torch.get_rng_state().numpy().tobytes(),
            "numpy": np.asarray(keys).tobytes() + str(position).encode(),
            "python": repr(random.getstate()).encode(),
        }
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device).numpy().tobytes()
        return {name: digest([state]) for name, state in states.items()}


def _mode(model: nn.Module) -> str:
    """Return the network's mode; a mixture, as of a network with frozen layers, is counted."""
    modules = list(model.modules())
    training = sum(module.training for module in modules)
    if training in (0, len(modules)):
        return "training" if training else "evaluation"
    return f"{training} of {len(modules)} modules in training"


def _gradient_norm(optimizer: torch.optim.Optimizer) -> float:
    # math.fsum rounds once, so that the order of the parameters does not matter.
    squares = (
        float(parameter.grad.detach().cpu().double().square().sum())
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    )
    return math.sqrt(math.fsum(squares))


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    groups = [
        {key: group.get(key) for key in optimizer.defaults if key != "lr"}
        | {"parameters": sum(parameter.numel() for parameter in group["params"])}
        for group in optimizer.param_groups
    ]
    return {"name": type(optimizer).__name__, "groups": groups}
