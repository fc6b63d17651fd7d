"""The same training as a plain PyTorch loop: no contract, no trace, nothing saved."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench_core.data.arrays import CachedArrays

AUGMENTATION: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RandomHorizontalFlip", {"p": 0.5}),
    ("RandomAffine", {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1]}),
)
RATE = 1e-3
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class BareDataset(Dataset[tuple[Tensor, Tensor]]):
    """Cached samples through torchvision's transforms, as one would write it for a single experiment."""

    def __init__(self, arrays: CachedArrays, indices: np.ndarray, augment: bool) -> None:
        self.arrays, self.indices = arrays, indices
        steps = [getattr(v2, name)(**arguments) for name, arguments in AUGMENTATION]
        self.transform = v2.Compose(steps) if augment else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        index = self.indices[position]
        image = torch.from_numpy(self.arrays.images[index].copy()).permute(2, 0, 1)
        mask = torch.from_numpy(self.arrays.masks[index].copy())
        if self.transform is not None:
            moved = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask[None]))
            image, mask = moved[0].as_subclass(Tensor), moved[1].as_subclass(Tensor)[0]
        return image, mask


class BareLoop:
    """The same training in plain PyTorch."""

    def __init__(
        self, model: nn.Module, training: BareDataset, validation: BareDataset, settings: argparse.Namespace
    ) -> None:
        self.device = torch.device(settings.device)
        self.model = model.to(self.device)
        self.train_loader = DataLoader(training, batch_size=settings.batch_size, shuffle=True)
        self.validation_loader = DataLoader(validation, batch_size=settings.batch_size)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        total = settings.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda epoch: (1 - epoch / total) / (0.5 + 0.5 * (1 - epoch / total))
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "fp16")
        self.precision = settings.precision

    def epoch(self) -> None:
        self.model.train()
        losses = []
        for images, masks in self.train_loader:
            loss = self.loss(self.logits(images), masks)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.detach())
        self.schedule.step()
        if not torch.stack(losses).isfinite().all():
            raise SystemExit("the bare loop diverged")
        self.validate()

    def validate(self) -> float:
        self.model.eval()
        counts = torch.zeros(3, dtype=torch.int64, device=self.device)
        with torch.no_grad():
            for images, masks in self.validation_loader:
                predicted = self.logits(images)[:, 0].float() > 0
                truth = masks.to(self.device).bool()
                hits = (predicted & truth).sum()
                counts += torch.stack([hits, predicted.sum() - hits, truth.sum() - hits])
        hits, false_positives, false_negatives = counts.tolist()
        dice: float = 2 * hits / max(1, 2 * hits + false_positives + false_negatives)
        return dice

    def logits(self, images: Tensor) -> Tensor:
        dtype = AUTOCAST.get(self.precision)
        with torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext():
            logits: Tensor = self.model((images.to(self.device).float() / 255 - 0.5) / 0.5)
        return logits

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        masks = masks.to(self.device)
        return functional.binary_cross_entropy_with_logits(logits[:, 0].float(), masks.float())
