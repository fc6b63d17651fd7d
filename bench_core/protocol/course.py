"""The course of a job's training: its epochs so far, when it stops, which epoch is chosen, what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import nn

from bench_core.plan.job import Job
from bench_core.protocol.interfaces import StateKeeper
from bench_core.protocol.randomness import random_state, restore_random_state
from bench_core.protocol.setup import Setup
from bench_core.protocol.state import STATE_FORMAT, check_state, chosen_weights, load_saved
from bench_core.protocol.stopping import BestCheckpoint, EarlyStopping
from bench_core.records import EpochRecord, TrainingRecord


class Course:
    """How far a job's training is; all of it is saved, so that an interrupted job resumes.

    Raises WeightsError for what was saved and is another job's, or does not fit the model.
    """

    def __init__(self, job: Job, keeper: StateKeeper, fingerprint: str) -> None:
        self._job, self._keeper, self._fingerprint = job, keeper, fingerprint
        self._rule = job.training.checkpoint
        self._stopping = EarlyStopping(job.training.early_stopping)
        self._best = BestCheckpoint(self._rule)
        self._history: list[EpochRecord] = []

    @property
    def done(self) -> int:
        """Epochs that have ended, those of earlier attempts included."""
        return len(self._history)

    @property
    def stopped(self) -> bool:
        """True once training has to stop early."""
        return self._stopping.stopped

    @property
    def tests_best(self) -> bool:
        """True where the weights of the best epoch are tested, and have to be kept when it comes."""
        return self._rule.choose == "best"

    def add(self, record: EpochRecord) -> bool:
        """Take an epoch that has ended; return whether it is the chosen one so far."""
        self._history.append(record)
        chosen = self._best.update(record.epoch, record.validation)
        self._stopping.update(record.validation)
        return chosen

    def keep_weights(self, model: nn.Module) -> None:
        """Keep the model's weights as those of the chosen epoch."""
        self._keeper.save_best({"epoch": self._best.epoch, "state_dict": model.state_dict()})

    def load_chosen(self, model: nn.Module) -> None:
        """Load the chosen epoch's weights, which were kept, into the model."""
        kept = chosen_weights(self._keeper.load_best(), self._best.epoch, self._job.name)
        load_saved(model, kept, self._job.name)

    def save(self, setup: Setup) -> None:
        """Save everything that the next epoch starts from."""
        self._keeper.save(
            {
                "format": STATE_FORMAT,
                "digest": self._job.digest,
                "fingerprint": self._fingerprint,
                "model": setup.model.state_dict(),
                "optimizer": setup.optimizer.state_dict(),
                "scaler": setup.scaler.state_dict(),
                "stopping": self._stopping.state_dict(),
                "best": self._best.state_dict(),
                "history": [asdict(record) for record in self._history],
                "random": random_state(),
            }
        )

    def resume(self, setup: Setup) -> bool:
        """Restore a saved state, into model, optimizer and scaler too; return False where there is none."""
        state = self._keeper.load()
        if state is None:
            return False
        check_state(state, self._job.digest, self._fingerprint, self._job.name)
        load_saved(setup.model, state["model"], self._job.name)
        setup.optimizer.load_state_dict(state["optimizer"])
        setup.scaler.load_state_dict(state["scaler"])
        self._stopping.load_state_dict(state["stopping"])
        self._best.load_state_dict(state["best"])
        self._history = [EpochRecord(**record) for record in state["history"]]
        restore_random_state(state["random"])
        return True

    def record(
        self,
        learning_rate: float,
        candidates: Mapping[str, float],
        class_weights: Mapping[str, Mapping[str, float]],
    ) -> TrainingRecord:
        """Return what a result keeps of the training, with the rate and the weights that it was done with."""
        return TrainingRecord(
            learning_rate=learning_rate,
            candidates=candidates,
            history=tuple(self._history),
            planned_epochs=self._job.training.epochs,
            chosen_epoch=self._best.epoch,
            monitor=self._rule.monitor,
            best_value=self._best.value,
            class_weights=class_weights,
        )
