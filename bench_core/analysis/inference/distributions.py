"""Student's t and the normal distribution; scipy is imported when the first of them is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command


def scipy_part(name: str) -> Any:
    """Return scipy's module of this name; raises MissingDependencyError without scipy."""
    try:
        return import_module(f"scipy.{name}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "intervals and tests need the package 'scipy', which is not installed",
            fix=install_command("report"),
        ) from error


def t_below(value: ArrayLike, degrees: ArrayLike) -> NDArray[np.float64]:
    """Return the probability that Student's t with these degrees of freedom is at most a value."""
    return np.asarray(scipy_part("special").stdtr(degrees, value), dtype=np.float64)


def t_quantile(share: float, degrees: float) -> float:
    """Return the value that Student's t lies below with this probability."""
    return float(scipy_part("special").stdtrit(degrees, share))


def normal_below(value: ArrayLike) -> NDArray[np.float64]:
    """Return the probability that a standard normal is at most a value."""
    return np.asarray(scipy_part("special").ndtr(value), dtype=np.float64)


def normal_quantile(share: ArrayLike) -> NDArray[np.float64]:
    """Return the value that a standard normal lies below with this probability."""
    return np.asarray(scipy_part("special").ndtri(share), dtype=np.float64)
