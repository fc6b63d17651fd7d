"""Networks that predict images one by one, prepared and scored as their own jobs did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_core.data.picture import Picture
from bench_core.data.resize import fit_image
from bench_core.data.samples import UInt8Array
from bench_core.deploy.chosen import Chosen
from bench_core.deploy.described import in_channels
from bench_core.errors import DataError, DivergedError, PluginError, TrainingError
from bench_core.execute.datasets import fit_of
from bench_core.plan.job import job_seed
from bench_core.protocol.normalization import Normalize
from bench_core.protocol.original_size import labels_at_size
from bench_core.protocol.precision import autocast, check_precision
from bench_core.protocol.randomness import seeded
from bench_core.protocol.site import ImageBatch
from bench_core.protocol.voting import voting
from bench_core.seeds import derive_seed


class Predictor:
    """Chosen networks on a device.

    Several vote by the mean of their probabilities. Raises WeightsError for weights that do not fit the code,
    TrainingError for a precision that the device does not have.
    """

    def __init__(self, chosen: Chosen, device: str) -> None:
        job = chosen.job
        self._job, self._task, self._device = job, job.dataset.task, torch.device(device)
        check_precision(job.training.precision, self._device)
        self._random = any(member.random_at_inference for member in chosen.members)
        self._normalize = Normalize(job.training.normalization, in_channels(job))
        self._predict: Callable[[ImageBatch], Tensor]
        networks = [member.network().to(self._device).eval() for member in chosen.members]
        if len(networks) == 1:
            (network,) = networks
            self._predict = lambda batch: network(batch.images)
        else:
            self._predict = voting(networks, binary=self._task.binary)

    def batch_size(self, asked: int | None) -> int:
        """Return how many images are predicted at a time: as the jobs do, or as many as are asked for.

        One where a network draws random numbers, which are then those of the image.
        """
        return 1 if self._random else asked or self._job.training.batch_size

    def prepare(self, picture: Picture) -> UInt8Array:
        """Return the image [S, S, C] on the networks' grid; raise DataError for one that does not fit."""
        channels, wanted = picture.shape[2], self._job.dataset.task.channels
        if channels != wanted or picture.dtype != np.uint8:
            raise DataError(
                f"has {channels} channel(s) of {picture.dtype}, the networks take {wanted} of uint8",
                fix="convert the image",
            )
        return fit_image(picture, fit_of(self._job))

    def logits(self, names: Sequence[str], grids: Sequence[UInt8Array]) -> Tensor:
        """Return logits [B, K, S, S] on the device; the first name seeds what a network draws.

        Raises DivergedError for an image whose logits are not numbers.
        """
        images = torch.from_numpy(np.stack(grids)).permute(0, 3, 1, 2).to(self._device)
        batch = ImageBatch(tuple(names), self._normalize(images))
        draws = (
            seeded(derive_seed(job_seed(self._job), "inference", names[0])) if self._random else nullcontext()
        )
        try:
            with torch.no_grad(), autocast(self._job.training.precision, self._device), draws:
                found: Tensor = self._predict(batch)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"out of memory on {self._device}: {len(names)} images at a time",
                fix="give --batch-size 1, or --device cpu",
            ) from error
        size = self._job.pixels.image_size
        expected = (len(names), self._task.logit_channels, size, size)
        if not isinstance(found, Tensor) or tuple(found.shape) != expected:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise PluginError(f"the network returned {shape}, logits {expected} were expected")
        return found

    def labels(self, logits: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the label map [H, W] of one image's logits [K, S, S]; raise DivergedError for NaN."""
        if bool(logits.isnan().any()):
            raise DivergedError("the network predicts NaN", cause="a value in it overflowed at this image")
        return labels_at_size(logits[None], size, self._task, self._job.pixels, self._job.scoring)
