"""Random number generators: seeding them all, and leaving them as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (all devices), numpy and Python."""
    seed_torch(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def seed_torch(seed: int) -> None:
    """Seed torch's global generators, those of all devices that are here."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        # torch.manual_seed would write down the whole call stack for each kind of device that is not here.
        torch.default_generator.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all global generators as tensors, numbers and lists."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, [int(key) for key in keys], position, has_gauss, cached],
        "python": [version, list(words), gauss],
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set all global generators to `random_state`'s data; devices that are not here any more are skipped."""
    torch.set_rng_state(state["torch"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    if torch.cuda.is_available():
        for device, device_state in enumerate(state.get("cuda", [])[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(device_state, device)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def drawing_from(device: torch.device) -> dict[str, Any]:
    """Return the state of all global generators, of a CUDA `device` its own, as values that JSON can hold."""
    state = random_state()
    cuda = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else None
    return {**state, "torch": state["torch"].tolist(), "cuda": cuda, "mps": None}


def draw_from(state: Mapping[str, Any], device: torch.device) -> None:
    """Let all global generators draw on from `drawing_from`'s state, which may be of another device."""
    cpu = torch.tensor(state["torch"], dtype=torch.uint8)
    restore_random_state({"torch": cpu, "numpy": state["numpy"], "python": state["python"]})
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8), device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with all global generators seeded, and restore them afterwards."""
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        restore_random_state(before)


@contextmanager
def seeded_cpu(seed: int, *, torch_alone: bool = False) -> Iterator[None]:
    """Like `seeded`, for code that draws on the CPU alone: fast enough for every sample of every epoch.

    `torch_alone` is for code that draws from torch's generator alone: in a third of the time.
    """
    torch_state = torch.get_rng_state()
    others = None if torch_alone else (np.random.get_state(), random.getstate())
    # Not torch.manual_seed, which would reseed the devices' generators too.
    torch.default_generator.manual_seed(seed)
    if others is not None:
        np.random.seed(seed % 2**32)
        random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        if others is not None:
            np.random.set_state(others[0])
            random.setstate(others[1])
