"""What a process of a job does that is not the first: trains its share of what the first one keeps."""

from __future__ import annotations

import io
import logging
import os
import signal
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench_core.errors import DataError, PluginError
from bench_core.execute.signals import STOPPING
from bench_core.execute.threads import thread_variables, use_threads
from bench_core.processes.parentage import children_die_with_us, die_with_parent

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry
    from bench_core.protocol.contract import Contract
    from bench_core.protocol.interfaces import StateKeeper
    from bench_core.protocol.ranks import Ranks
    from bench_core.protocol.run_options import RunOptions
    from bench_core.protocol.site import Site
    from bench_core.protocol.trace import Trace


class SharedKeeper:
    """Keeps a job's state where the first process keeps it, and gives it to the others.

    Loading the state is collective. `keeper` is the first process's; the others have none, and what they are
    given to save they forget.
    """

    def __init__(self, ranks: Ranks, keeper: StateKeeper | None) -> None:
        self._ranks, self._keeper = ranks, keeper

    def load(self) -> dict[str, Any] | None:
        """Return the first process's state."""
        import torch

        from bench_core.weights.load import load_bounded

        if not self._ranks.first:
            content = self._ranks.tell_bytes(b"")
            return cast(dict[str, Any], load_bounded(io.BytesIO(content))) if content else None
        state, file = None if self._keeper is None else self._keeper.load(), io.BytesIO()
        if state is not None and self._ranks.several:
            torch.save(state, file)
        self._ranks.tell_bytes(file.getvalue())
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Save in the first process."""
        if self._keeper is not None:
            self._keeper.save(state)

    def load_best(self) -> dict[str, Any]:
        """Return what the first process kept; the contract asks nowhere else."""
        return {} if self._keeper is None else self._keeper.load_best()

    def save_best(self, weights: dict[str, Any]) -> None:
        """Save in the first process."""
        if self._keeper is not None:
            self._keeper.save_best(weights)


def build_contract(
    site: Site,
    registry: Registry,
    *,
    learning_rate: float,
    candidates: Mapping[str, float],
    keeper: StateKeeper | None,
    trace: Trace,
) -> Contract:
    """Return a job's contract, its network built: the same in each of its processes.

    Only the first has a `keeper`.
    """
    from bench_core.execute.prepare import build_model
    from bench_core.protocol.contract import Contract

    declared = registry.model(site.job.model.name)
    return Contract(
        site,
        learning_rate=learning_rate,
        candidates=candidates,
        model=build_model(site.job, registry),
        keeper=SharedKeeper(site.ranks, keeper),
        trace=trace,
        encoder=declared.encoder,
        random_at_inference=declared.random_at_inference,
    )


def follow(path: Path, digest: str, device: str, *, direct: bool) -> None:
    """Train this process's share of a queued job, as the first process says; return when that is done."""
    from bench_core.execute.queue import queued
    from bench_core.store.store import Store

    store = Store(path)
    # What is done is not queued any more: then the first process says so.
    found = None if store.is_done(digest) else queued(store, digest)
    os.environ.update(thread_variables(1 if found is None else found[1].options.threads))
    from torch import distributed

    from bench_core.execute.ranks import join
    from bench_core.plugins.wiring import load_registry

    if found is None:
        join(device, direct=direct).tell(None)
    else:
        job, order = found
        registry = load_registry(order.plugins)
        share(job, registry, order.options, order.cache or store.cache, device, direct=direct)
    distributed.destroy_process_group()


def share(
    job: Job,
    registry: Registry,
    options: RunOptions,
    cache: Path,
    device: str,
    *,
    direct: bool,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Meet the other processes of a job as the environment says, and train this one's share if there is one.

    `ready` is called before it meets them. The process group is left as it is.
    """
    from bench_core.execute.ranks import join

    ready()
    ranks = join(device, direct=direct)
    briefing = ranks.tell(None)
    if briefing is None:
        return
    if briefing["plugins"] != registry.contents:
        raise PluginError(
            "a plugin file was changed while the processes of the job were started",
            cause="they have loaded different code",
            fix="run the same command again",
        )
    _train(job, registry, replace(options, device=device), cache, ranks, briefing)
    # The first process has all that it needs.
    ranks.tell(None)


def _train(
    job: Job, registry: Registry, options: RunOptions, cache: Path, ranks: Ranks, briefing: dict[str, Any]
) -> None:
    from bench_core.declarations import resolve_entry
    from bench_core.execute.prepare import open_data
    from bench_core.protocol.site import Site
    from bench_core.protocol.trace import Trace

    use_threads(options.threads)
    data = open_data(job, registry, cache)
    if data.facts.fingerprint != briefing["fingerprint"]:
        raise DataError(
            f"dataset {job.dataset.label} has changed since the job's first process opened it",
            fix="run the same command again",
        )
    site = Site(
        job,
        data.train,
        data.validation,
        data.test,
        device=options.device,
        ranks=ranks,
        loader_workers=options.loader_workers,
    )
    contract = build_contract(
        site,
        registry,
        learning_rate=briefing["learning_rate"],
        candidates=briefing["candidates"],
        keeper=None,
        trace=Trace(None),
    )
    fit = resolve_entry(registry.runner(job.model.runner).fit)
    with closing(contract):
        fit(contract, options)


def stand_back() -> None:
    """Never outlive the job's first process, leave signals to stop to it, and write nowhere."""
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        die_with_parent(parent.pid)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    children_die_with_us()
    # The first process says the same, once.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)
