"""Declarations of published datasets; they import no reader and nothing heavy."""

from __future__ import annotations

from bench_core import Dataset
from bench_datasets.declared.breast import BREAST
from bench_datasets.declared.polyps import POLYPS
from bench_datasets.declared.skin import SKIN
from bench_datasets.declared.study import STUDY

PUBLISHED: list[Dataset] = [*STUDY, *POLYPS, *SKIN, *BREAST]
"""In the order in which lists show them: the study's tables first."""
