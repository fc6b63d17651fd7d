"""Builds the network of a config file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_core import BuildRequest
from bench_core.errors import MissingDependencyError
from bench_mmseg.config_file import read_config
from bench_mmseg.own_modules import imported_names
from bench_mmseg.pretrained import load_pretrained
from bench_mmseg.segmentor import Segmentor, build_segmentor
from bench_mmseg.source import place_of


def build(request: BuildRequest) -> Segmentor:
    """Build the network of the config that the request names, as `build_config` does."""
    path, _ = place_of(request.name)
    return build_config(path, request)


def build_config(path: Path, request: BuildRequest) -> Segmentor:
    """Build the network of the config at `path` and load the weights that the request asks for.

    `weights_report` of the result says what was loaded, `network_notes` what was changed.
    Raises TrainingError if mmseg cannot build it, WeightsError if weights are not there or do not fit.
    """
    values = read_config(path).values
    _import_custom(values.get("custom_imports"), path)
    network = build_segmentor(values["model"], request)
    load_pretrained(network, values["model"], request)
    return network


def _import_custom(wanted: Mapping[str, Any] | None, path: Path) -> None:
    """Import the modules in which a config's own components register themselves."""
    for name in imported_names(wanted):
        try:
            importlib.import_module(name)
        except ImportError as error:
            if (wanted or {}).get("allow_failed_imports"):
                continue
            raise MissingDependencyError(
                f"the module {name} of custom_imports cannot be imported: {error}",
                place=str(path),
                fix="install it, or put its folder on PYTHONPATH",
            ) from error
