"""What claims rest on: single comparisons, and the question under which they are made."""

from __future__ import annotations

from dataclasses import dataclass

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.known import Known
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.resampling import Interval
from bench_core.analysis.inference.shown import Proof
from bench_core.spec.claims import Claim


@dataclass(frozen=True)
class Finding:
    """One comparison that a claim rests on."""

    dataset: str | None
    """None for the mean over datasets."""
    model: str
    """A label, or what the claim calls several models."""
    reference: str
    difference: float | None
    """`model` minus `reference` in the metric's stored unit; None where it is missing."""
    interval: Interval | None
    """With confidence 1 - alpha, of this comparison alone."""
    proof: Proof | None
    """None for what others are compared with."""
    missing: str = ""
    """Why it cannot be asked."""


@dataclass(frozen=True)
class Asked:
    """A claim about to be answered."""

    evidence: Evidence
    known: Known
    claim: Claim
    view: View
    settings: Settings
    margin: float
    """In the metric's stored unit."""
    datasets: tuple[str, ...]

    @property
    def sign(self) -> float:
        """-1 where lower is better."""
        return -1.0 if self.known.quantity.metric.better == "lower" else 1.0


Answered = tuple[Proof, tuple[Finding, ...], str]
"""The proof, what it rests on, and why nothing could be asked at all."""
