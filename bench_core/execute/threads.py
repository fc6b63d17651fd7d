"""How many CPU threads a process of a job computes with."""

from __future__ import annotations

from contextlib import suppress

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def thread_variables(count: int) -> dict[str, str]:
    """Return what says so in the environment; libraries read it when they are first imported."""
    return dict.fromkeys(_VARIABLES, str(count))


def use_threads(count: int) -> None:
    """Compute with so many threads from now on."""
    import torch

    torch.set_num_threads(count)
    with suppress(ImportError):
        import cv2

        # By itself it would use every core, whatever else runs there.
        cv2.setNumThreads(1)
