"""What training needs once the network is on its device: optimizer, scaler, loader, inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bench_core.data.loader import READERS, Augment, Loader, Places, Split
from bench_core.plan.job import Job, job_seed
from bench_core.protocol.inference import Inference
from bench_core.protocol.normalization import Normalize, Transfer
from bench_core.protocol.optimizer import build_optimizer
from bench_core.protocol.precision import build_scaler, check_precision
from bench_core.protocol.ranks import Ranks
from bench_core.protocol.waiting import Waiting


@dataclass
class Setup:
    """What exists once the model is on its device."""

    model: nn.Module
    device: torch.device
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loader: Loader
    transfer: Transfer
    inference: Inference
    waiting: Waiting


def set_up(
    model: nn.Module,
    job: Job,
    train: Split,
    *,
    learning_rate: float,
    encoder: Sequence[str],
    normalization: Normalize,
    augment: Augment | None,
    random_at_inference: bool,
    device: torch.device,
    channels_last: bool,
    workers: int,
    ranks: Ranks,
    places: Places | None,
) -> Setup:
    """Return what a job's training needs for a model that is on `device`.

    Raises TrainingError for a precision that the device does not have.
    """
    training, task, seed = job.training, job.dataset.task, job_seed(job)
    check_precision(training.precision, device)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    transfer = Transfer(normalization, task, device, memory_format)
    return Setup(
        model=model,
        device=device,
        optimizer=build_optimizer(training.optimizer, model, learning_rate, encoder),
        scaler=build_scaler(training.precision, device),
        loader=Loader(
            train,
            training.batch_size,
            seed=seed,
            augment=augment,
            workers=workers,
            pin_memory=device.type == "cuda",
            narrow=True,
            places=places,
        ),
        transfer=transfer,
        inference=Inference(
            model,
            task,
            training,
            job.scoring,
            transfer,
            device,
            seed=seed,
            random_at_inference=random_at_inference,
            workers=min(workers, READERS),
            ranks=ranks,
        ),
        waiting=Waiting(device, workers),
    )
