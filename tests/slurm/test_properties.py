"""The executor `slurm` has every property of its kind, on the emulated cluster."""

from __future__ import annotations

import pytest

from bench_core.conformance.executors import PROPERTIES, judge, subject_of
from bench_core.plugins.wiring import load_registry
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slow


def test_slurm_has_every_property(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    subject = subject_of(load_registry(), "slurm", {}, patience=60.0, ending=30.0)
    found = [judge(item, subject) for item in PROPERTIES]
    assert [item for item in found if item.state != "ok"] == []
