"""What an attempt at a job computes under its claim: from its data to all that its folder must hold."""

from __future__ import annotations

import logging
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.data.automatic import with_automatic
from bench_core.data.cache import HASHES
from bench_core.data.hashing import FileHashes
from bench_core.declarations import JobEvent, resolve_entry
from bench_core.errors import StoreError, WeightsError
from bench_core.execute.attempts import Attempts
from bench_core.execute.follow import build_contract
from bench_core.execute.ground import (
    DATA,
    changes_between,
    needed_basis,
    plugin_basis,
    weights_basis,
)
from bench_core.execute.keeper import FolderKeeper
from bench_core.execute.logs import JOB_LOGGER
from bench_core.execute.outcome import checked, counted, plain_values, provenance
from bench_core.execute.prepare import network_facts, open_data
from bench_core.execute.provenance import MemoryMeter, RunContext, execution
from bench_core.execute.ranks import Team
from bench_core.execute.rate import ChosenRate, choose_rate
from bench_core.execute.sources import by_role, members_of, peers_of, siblings_of
from bench_core.execute.threads import use_threads
from bench_core.plan.job import Apply, Job, Own, Train
from bench_core.plugins.registry import Registry
from bench_core.protocol.leaves import ARTIFACTS, RECORDS
from bench_core.protocol.session import Session
from bench_core.protocol.site import Site
from bench_core.records import NetworkFacts
from bench_core.store.accepted import read_accepted
from bench_core.store.claim import Claim
from bench_core.store.files import remove_tree, storing
from bench_core.store.folder import RUNNER, TRACE
from bench_core.store.result import Result
from bench_core.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench_core.data.loader import Split
    from bench_core.execute.prepare import JobData
    from bench_core.protocol.contract import RunOptions

log = logging.getLogger(JOB_LOGGER)


@dataclass(frozen=True)
class _Made:
    """What a runner or step has handed back and left in the job's folder."""

    returned: object
    left: tuple[str, ...]
    network: NetworkFacts | None = None


@dataclass(frozen=True)
class Computation:
    """A claimed job and all that it is computed with."""

    job: Job
    store: Store
    registry: Registry
    options: RunOptions
    context: RunContext
    cache: Path
    claim: Claim
    emit: Callable[[JobEvent], None]
    note: Callable[[str], None]

    def run(self, folder: Path, attempts: Attempts, team: Team) -> None:
        """Compute what the job owes, from the epochs that are kept on, and complete its folder with it.

        Raises BenchError with what to do about it, and any other exception for a bug in a plugin.
        """
        job, started = self.job, time.monotonic()
        rate = choose_rate(job, self.store) if isinstance(job.work, Train) else None
        if rate is not None and rate.candidates:
            log.info("learning rate %g of %s", rate.value, dict(rate.candidates))
        data = self._data(rate)
        basis = self._basis(data)
        self._keep_or_drop_state(folder, attempts.stand_on(basis), basis)
        memory = MemoryMeter(self.options.device)
        use_threads(self.options.threads)
        keeper = FolderKeeper(folder, self.claim.check)
        site = self._site(folder, data)
        log.info("runner %s: %s", job.model.runner, execution(self.options))
        made = self._apply(site) if rate is None else self._train(site, data, rate, keeper, team)
        outcome = checked(made.returned, job, data.tested, folder, made.left)
        finished = attempts.finish(time.monotonic() - started)
        found = counted(outcome, data.tested, job.dataset.task.classes)
        if found.counts is not None and data.test is not None:
            self._describe(data, data.test)
        result = Result(
            digest=job.digest,
            data=data.facts,
            training=outcome.training,
            tested=outcome.tested,
            values=plain_values(outcome.values, job),
            artifacts=made.left,
            network=made.network,
            basis=basis,
            provenance=provenance(self.options, self.context, finished),
            seconds=finished.seconds,
            peak_memory_bytes=memory.peak_bytes(),
            attempts=attempts.count,
        )
        self.claim.check()
        names = (attempts.name, TRACE, keeper.finish())
        extra = [name for name in names if name and (folder / name).exists()]
        own = sorted(path for path in (folder / RUNNER).rglob("*") if path.is_file())
        extra += [path.relative_to(folder).as_posix() for path in own]
        self.store.complete(
            job.digest, result, found.counts, found.cases, outcome.predictions, extra, self.claim
        )
        if outcome.training is not None:
            log.info("done in %.1f s: %s %.4f in epoch %d", result.seconds, outcome.training.monitor,
                     outcome.training.best_value, outcome.training.chosen_epoch + 1)  # fmt: skip

    def _data(self, rate: ChosenRate | None) -> JobData:
        self.note("opening data")

        def progress(done: int, total: int) -> None:
            self.note(f"images {done}/{total}")

        data = open_data(self.job, self.registry, self.cache, progress)
        log.info("data: %s", data.facts)
        self.store.keep_samples(data.samples)
        if rate is not None:
            rate.check_data(self.job, data.facts.fingerprint)
        return data

    def _basis(self, data: JobData) -> dict[str, str]:
        basis = {DATA: data.facts.fingerprint} | plugin_basis(self.job, self.registry)
        # Weights that are not declared are known by what the network reports of them.
        with suppress(WeightsError):
            basis |= weights_basis(self.job, self.registry, FileHashes(self.cache / HASHES))
        # A needed job that is not done, or is damaged, is refused where it is used.
        with suppress(StoreError):
            basis |= needed_basis(self.job, self.store.result, read_accepted(self.store.path))
        return basis

    def _keep_or_drop_state(self, folder: Path, before: dict[str, str] | None, basis: dict[str, str]) -> None:
        """Let a job start anew where what it stands on is not what its last attempt stood on."""
        if before is None or before == basis:
            return
        changed = ", ".join(map(str, changes_between(before, basis))) or "what it stands on changed"
        message = f"starts anew: since it was interrupted {changed}"
        log.warning("%s", message)
        self.emit(JobEvent(kind="anew", digest=self.job.digest, epochs=self.job.epochs, message=message))
        _drop_state(folder)

    def _site(self, folder: Path, data: JobData) -> Site:
        members = members_of(self.job, self.store, self.registry, self.cache)
        return Site(
            job=self.job,
            train=data.train,
            validation=data.validation,
            test=data.test,
            folder=folder,
            emit=self._tell,
            files=data.files,
            original=data.original,
            metrics=self.registry.metrics,
            sources=by_role(self.job, members),
            members=members,
            peers=peers_of(self.job, self.store, self.registry, self.cache),
            siblings=siblings_of(self.job, self.store, self.registry, self.cache),
            device=self.options.device,
            loader_workers=self.options.loader_workers,
        )

    def _train(self, site: Site, data: JobData, rate: ChosenRate, keeper: FolderKeeper, team: Team) -> _Made:
        from bench_core.protocol.trace import Trace

        briefing = {
            "learning_rate": rate.value,
            "candidates": dict(rate.candidates),
            "fingerprint": data.facts.fingerprint,
            "plugins": self.registry.contents,
        }
        ranks = team.join(briefing)
        self.note("building network")
        contract = build_contract(
            replace(site, ranks=ranks),
            self.registry,
            learning_rate=rate.value,
            candidates=rate.candidates,
            keeper=keeper,
            trace=Trace(keeper.folder / TRACE),
        )
        network = network_facts(contract.model, contract.notes)
        log.info("%s: %s parameters, weights: %s", self.job.model.name, f"{network.parameters:,}",
                 self.job.model.pretrained)  # fmt: skip
        with closing(contract):
            returned = self._fit()(contract, replace(self.options, folder=keeper.folder / RUNNER))
        team.end(failed=False)
        return _Made(returned, contract.left, network)

    def _apply(self, site: Site) -> _Made:
        work, session = self.job.work, Session(site)
        if isinstance(work, Own):
            self.note("running its own procedure")
            returned = self._fit()(session, dict(work.settings))
        elif isinstance(work, Apply):
            returned = resolve_entry(self.registry.step(work.step).run)(session, dict(work.options))
        else:
            raise TypeError(f"{self.job.name} trains under the shared protocol")
        return _Made(returned, session.left)

    def _fit(self) -> Callable[..., object]:
        fit: Callable[..., object] = resolve_entry(self.registry.runner(self.job.model.runner).fit)
        return fit

    def _describe(self, data: JobData, tested: Split) -> None:
        """Keep the automatic attributes of the tested images, as far as no job before did."""
        pixels, held = self.job.pixels, data.samples
        with suppress(StoreError):
            held = replace(held, automatic=self.store.samples(held.fingerprint).automatic)
        found = with_automatic(held, tested.arrays, tested.indices, pixels.resize, pixels.padding)
        self.store.keep_samples(found)

    def _tell(self, event: JobEvent) -> None:
        if event.kind == "epoch":
            values = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            loss = "-" if event.loss is None else f"{event.loss:.5g}"
            log.info("epoch %d/%d: loss %s, %s", event.epoch + 1, event.epochs, loss, values)
        self.emit(event)


def _drop_state(folder: Path) -> None:
    """Remove what an earlier attempt left of its training; log and attempts stay."""
    with storing(folder):
        for path in folder.iterdir():
            if path.name == TRACE or path.suffix == ".pt":
                path.unlink()
    for part in (ARTIFACTS, RECORDS, RUNNER):
        remove_tree(folder / part)
