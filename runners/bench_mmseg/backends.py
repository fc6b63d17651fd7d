"""MMEngine's visual backends that a spec can switch on, and the package that each needs."""

from __future__ import annotations

BACKENDS: dict[str, str | None] = {
    "LocalVisBackend": None,
    "TensorboardVisBackend": "tensorboard",
    "WandbVisBackend": "wandb",
    "MLflowVisBackend": "mlflow",
    "ClearMLVisBackend": "clearml",
    "NeptuneVisBackend": "neptune",
    "DVCLiveVisBackend": "dvclive",
    "AimVisBackend": "aim",
}
"""MMEngine's name of the backend to the package that it needs beyond MMEngine's own, or None."""
