"""Spec to Plan: matrix, stages, dependencies, exclusions, job identity."""
