"""`bench doctor` says which MMSegmentation is installed, and whether mmcv has its compiled operations."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from bench_core.cli import doctor
from bench_core.install import install_command

CONTINUATION = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmsegmentation": "1.4.2"}
UPSTREAM = {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmsegmentation": "1.2.2"}
Install = Callable[..., dict[str, doctor.Finding]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Return a function that pretends that these distributions are installed, and nothing else."""

    def pretend(found: dict[str, str], compiled: bool = False) -> dict[str, doctor.Finding]:
        def version(name: str) -> str:
            if name not in found:
                raise PackageNotFoundError(name)
            return found[name]

        class Spec:
            submodule_search_locations = (str(tmp_path),)

        if compiled:
            (tmp_path / "_ext.cpython-311-x86_64-linux-gnu.so").touch()
        monkeypatch.setattr(doctor, "version", version)
        monkeypatch.setattr(doctor, "find_spec", lambda name: Spec)
        return {finding.name: finding for finding in doctor._mmseg()}

    return pretend


def test_the_continuation(install: Install) -> None:
    findings = install(CONTINUATION)
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert findings["onedl-mmsegmentation"].detail == "1.4.2 (maintained continuation)"
    assert findings["onedl-mmcv"].detail == "2.3.6 (maintained continuation), without compiled operations"


def test_upstream_with_compiled_operations(install: Install) -> None:
    findings = install(UPSTREAM, compiled=True)
    assert findings["mmsegmentation"].detail == "1.2.2 (upstream)"
    assert findings["mmcv"].detail == "2.1.0 (upstream), with compiled operations"


def test_nothing(install: Install) -> None:
    findings = install({})
    assert list(findings) == list(CONTINUATION)
    assert {(finding.state, finding.fix) for finding in findings.values()} == {
        ("missing", install_command("mmseg"))
    }


def test_two_distributions_over_each_other(install: Install) -> None:
    finding = install(CONTINUATION | UPSTREAM)["onedl-mmcv"]
    assert finding.state == "broken"
    assert "mmcv 2.1.0 under the same import name" in finding.detail
    assert finding.fix.startswith("pip uninstall mmcv onedl-mmcv")
