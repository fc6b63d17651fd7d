"""MMEngine's runner for one contract, without the effects that it has on the process around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from bench_core.errors import TrainingError
from bench_core.protocol.contract import Contract, RunOptions
from bench_core.protocol.outcome import Outcome
from bench_mmseg.hooks import ContractHook
from bench_mmseg.logs import ContractLogProcessor, LogSettings
from bench_mmseg.loops import EvaluationBatches, TrainBatches
from bench_mmseg.network import ContractNetwork, ContractOptimWrapper, without_sync_batchnorm


class ContractRunner(Runner):
    """Trains and tests one contract; the device and the random states are not MMEngine's to choose.

    Call `train`, after the contract's `prepare`, then `test`, then `close`.
    """

    def __init__(
        self, contract: Contract, device: torch.device, options: RunOptions, settings: LogSettings
    ) -> None:
        self.contract, self.device = contract, device
        self._options, self._settings = options, settings
        self._outcome: Outcome | None = None
        evaluator = Evaluator([])
        contract.model = without_sync_batchnorm(contract.model)
        super().__init__(
            ContractNetwork(contract),
            str(settings.folder),
            train_dataloader=TrainBatches(contract),
            train_cfg={"type": "ContractTrainLoop", "max_epochs": contract.training.epochs},
            val_dataloader=EvaluationBatches(contract.task, lambda: contract.validation_batches),
            val_cfg={"type": "ContractValLoop"},
            val_evaluator=evaluator,
            test_dataloader=EvaluationBatches(contract.task, lambda: contract.test_batches),
            test_cfg={"type": "ContractTestLoop"},
            test_evaluator=evaluator,
            optim_wrapper={"type": "ContractOptimWrapper"},
            default_hooks=settings.default_hooks(),
            custom_hooks=[ContractHook(contract)],
            log_processor=ContractLogProcessor(window_size=settings.interval),
            experiment_name=contract.job_name,
            randomness={"seed": contract.seed},
        )

    @property
    def outcome(self) -> Outcome:
        """What the contract handed back; raises TrainingError before the test."""
        if self._outcome is None:
            raise TrainingError(f"{self.contract.job_name}: nothing was tested yet")
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def close(self) -> None:
        """Close what backends left open and let go of network, loaders and loops, which know this runner."""
        self.visualizer.close()
        self._train_loop = self._val_loop = self._test_loop = None
        self.optim_wrapper = None
        self._hooks: list[Hook] = []

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Learn the rank; start methods, thread numbers and file limits stay as they are."""
        self._rank, self._world_size = get_dist_info()
        self._timestamp = self._settings.timestamp()

    def set_randomness(self, seed: int, **others: Any) -> None:
        """Note the job's seed; the contract sets the random states."""
        self._seed, self._deterministic = seed, True

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **_: Any) -> MMLogger:
        """Return a logger that prints nothing."""
        return self._settings.logger(self.experiment_name, Path(self.log_dir) / f"{self.timestamp}.log")

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Return the visualizer with the backends that the spec names."""
        return self._settings.visualizer(self.experiment_name, Path(self.log_dir))

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: ContractNetwork) -> ContractNetwork:
        """Move the network to the job's device and compile it if asked to."""
        model.to(self.device)
        if self._options.channels_last:
            model.to(memory_format=torch.channels_last)
        if self._options.compile:
            model.compile_network()
        return model

    def build_optim_wrapper(self, optim_wrapper: Any) -> ContractOptimWrapper:
        """Return the wrapper around the contract's optimizer."""
        return ContractOptimWrapper(self.contract)

    def dump_config(self) -> None:
        """Write no config: the job's own says all."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Leave out a report on the machine that takes seconds; the job's provenance has one."""
