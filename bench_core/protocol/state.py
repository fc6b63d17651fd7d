"""A contract's saved state: whose it is, and the weights in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from bench_core.errors import WeightsError

STATE_FORMAT = 2


def check_state(state: Mapping[str, Any], digest: str, fingerprint: str, job_name: str) -> None:
    """Raise WeightsError unless the state is of this job, of these data and written in this format."""
    if state.get("fingerprint", fingerprint) != fingerprint:
        raise WeightsError(
            "the saved training state is of other data",
            place=job_name,
            cause="the dataset has changed since the job was interrupted",
            fix="remove the job's folder to train it anew on the data of today",
        )
    if state.get("format") != STATE_FORMAT or state.get("digest") != digest:
        raise WeightsError(
            "the saved training state is not this job's, or of another version of segtrial",
            place=job_name,
            fix="remove the job's folder to train it again",
        )


def chosen_weights(kept: Mapping[str, Any], epoch: int, job_name: str) -> dict[str, Any]:
    """Return the kept weights; raise WeightsError if they are of another epoch than the chosen one."""
    if kept["epoch"] != epoch:
        raise WeightsError(
            f"the kept weights are of epoch {kept['epoch']}, but epoch {epoch} was chosen",
            place=job_name,
            fix="remove the job's folder to train it again",
        )
    weights: dict[str, Any] = kept["state_dict"]
    return weights


def load_saved(model: nn.Module, weights: Mapping[str, Any], job_name: str) -> None:
    """Load weights that this job saved; raise WeightsError if the model has changed since."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(
            "the saved weights do not fit the model",
            place=job_name,
            cause=str(error).splitlines()[-1].strip(),
            fix="raise the model's `version` when its architecture changes, so that its jobs start anew",
        ) from error
