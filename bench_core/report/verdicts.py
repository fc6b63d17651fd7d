"""The verdicts on a spec's claims as plain data, with the options that its report has."""

from __future__ import annotations

from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.options import complete_options
from bench_core.plugins.registry import Registry
from bench_core.report.sections.claims import as_data

PART = "claims"


def verdicts(evidence: Evidence, registry: Registry) -> list[dict[str, Any]]:
    """Return one mapping per claim of the spec; empty where there is none."""
    if not evidence.spec.claims:
        return []
    entries = evidence.spec.analyses or []
    given = next((entry.options for entry in entries if entry.name == PART), {})
    return as_data(evidence, complete_options(registry.analysis(PART).options, given))
