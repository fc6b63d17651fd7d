"""Checks that need more than one value, or the registry: names, options, the matrix, the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from bench_core.spec.checks.augmentation import check_augmentation, check_padding
from bench_core.spec.checks.batches import check_batches, check_devices, check_parts
from bench_core.spec.checks.claims import check_claims
from bench_core.spec.checks.context import Context, Enough
from bench_core.spec.checks.deviations import check_deviations
from bench_core.spec.checks.expected import check_expected
from bench_core.spec.checks.folds import check_folds
from bench_core.spec.checks.losses import check_losses
from bench_core.spec.checks.matrix import check_exclusions, check_labels
from bench_core.spec.checks.measured import check_measured
from bench_core.spec.checks.names import check_names
from bench_core.spec.checks.optimizer import check_optimizer
from bench_core.spec.checks.options import check_options
from bench_core.spec.checks.paths import check_paths
from bench_core.spec.checks.pools import check_pool_options, check_pools, check_tracks
from bench_core.spec.checks.protocol import (
    check_batch_size,
    check_channels,
    check_image_size,
    check_normalization,
    check_threshold,
)
from bench_core.spec.checks.rates import check_rates
from bench_core.spec.checks.steps import check_steps
from bench_core.spec.checks.weights import check_weights

Check = Callable[[Context], None]
ALL: tuple[Check, ...] = (
    check_names,
    check_options,
    check_steps,
    check_measured,
    check_labels,
    check_exclusions,
    check_tracks,
    check_pools,
    check_pool_options,
    check_expected,
    check_claims,
    check_paths,
    check_weights,
    check_rates,
    check_deviations,
    check_optimizer,
    check_batches,
    check_parts,
    check_devices,
    check_threshold,
    check_channels,
    check_image_size,
    check_batch_size,
    check_normalization,
    check_folds,
    check_losses,
    check_augmentation,
    check_padding,
)


def run_checks(context: Context, further: Iterable[Check] = ()) -> None:
    """Run every check, then further ones; what they find is in `context.found`."""
    for check in (*ALL, *further):
        with suppress(Enough):
            check(context)


__all__ = ["Check", "Context", "run_checks"]
