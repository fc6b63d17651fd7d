"""Declarations of published datasets; they import no reader and nothing heavy."""

from __future__ import annotations

from bench_core import Dataset
from bench_datasets.declared.study import STUDY

PUBLISHED: list[Dataset] = [*STUDY]
"""In the order in which lists show them: the study's tables first."""
