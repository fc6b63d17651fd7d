"""The same training as one would set it up in MMEngine itself: its runner, loops, wrapper, hooks and metric.

Default hooks are on (runtime info, timer, sampler seed, logger each 10 steps, parameter scheduler), the
checkpoint hook is off, which makes the comparison stricter: the benchmark's side saves its whole state each
epoch. On the CPU MMEngine has no mixed precision (`AmpOptimWrapper` needs a GPU), so there it trains in fp32
only.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bare_loop import AUTOCAST, RATE, BareDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset


class StockDataset(Dataset[dict[str, Tensor]]):
    """The bare loop's samples under the names that MMEngine's models expect."""

    def __init__(self, samples: BareDataset) -> None:
        self.samples = samples
        self.metainfo = {"classes": ("background", "lesion")}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        image, mask = self.samples[position]
        return {"inputs": image, "data_samples": mask}


class StockModel(BaseModel):
    """A network with the loss of the benchmark's side."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(ImgDataPreprocessor(mean=[127.5] * 3, std=[127.5] * 3))
        self.network = network

    def forward(self, inputs: Tensor, data_samples: Sequence[Tensor], mode: str = "tensor") -> Any:
        logits = self.network(inputs)
        if mode == "loss":
            masks = torch.stack(list(data_samples)).float()
            return {"loss": functional.binary_cross_entropy_with_logits(logits[:, 0].float(), masks)}
        if mode == "predict":
            return [logits, torch.stack(list(data_samples))]
        return logits


class StockDice(BaseMetric):
    """Dice over all pixels of the split."""

    default_prefix = "seg"

    def process(self, data_batch: Any, data_samples: Sequence[Tensor]) -> None:
        logits, masks = data_samples
        predicted, truth = logits[:, 0].float() > 0, masks.bool()
        hits = (predicted & truth).sum()
        self.results.append(torch.stack([hits, predicted.sum() - hits, truth.sum() - hits]))

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        hits, false_positives, false_negatives = torch.stack(results).sum(0).tolist()
        return {"dice": 2 * hits / max(1, 2 * hits + false_positives + false_negatives)}


@LOOPS.register_module()
class SteppedTrainLoop(EpochBasedTrainLoop):
    """MMEngine's own loop, whose epochs are called from outside so that they can take turns with others."""

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        network: nn.Module = self.runner.model
        return network

    def epoch_with_validation(self) -> None:
        self.run_epoch()
        self.runner.val_loop.run()


class StockRunner:
    """MMEngine's runner, set up and ready to run epoch by epoch."""

    def __init__(
        self,
        model: nn.Module,
        training: BareDataset,
        validation: BareDataset,
        settings: argparse.Namespace,
        folder: Path,
    ) -> None:
        # It warns of settings of the process that it changes.
        warnings.simplefilter("ignore")
        self.runner = Runner(
            StockModel(model),
            str(folder),
            train_dataloader=_loader(training, settings, shuffle=True),
            train_cfg={"type": "SteppedTrainLoop", "max_epochs": settings.epochs},
            val_dataloader=_loader(validation, settings, shuffle=False),
            val_cfg={},
            val_evaluator=[StockDice()],
            optim_wrapper=_wrapper(settings),
            param_scheduler={"type": "PolyLR", "power": 0.9, "begin": 0, "end": settings.epochs},
            default_hooks={"checkpoint": None},
            log_level="ERROR",
        )
        self.runner.train()

    def epoch(self) -> None:
        self.runner.train_loop.epoch_with_validation()


def _loader(samples: BareDataset, settings: argparse.Namespace, shuffle: bool) -> dict[str, Any]:
    return {
        "dataset": StockDataset(samples),
        "sampler": {"type": "DefaultSampler", "shuffle": shuffle},
        "batch_size": settings.batch_size,
        "num_workers": 0,
    }


def _wrapper(settings: argparse.Namespace) -> dict[str, Any]:
    optimizer = {"type": "AdamW", "lr": RATE}
    if settings.precision == "fp32":
        return {"type": "OptimWrapper", "optimizer": optimizer}
    if settings.device == "cpu":
        raise SystemExit(
            "MMEngine's own mixed precision needs a GPU; use --precision fp32, or --runner torch"
        )
    dtype = str(AUTOCAST[settings.precision]).removeprefix("torch.")
    return {"type": "AmpOptimWrapper", "optimizer": optimizer, "dtype": dtype}
