"""Is this the study that a report or an archive names, and does its archive plan what the spec plans?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.checks import Check
from bench_core.analysis.verify.findings import Finding
from bench_core.files.bounded import read_json
from bench_core.store.archive_names import MANIFEST, PLAN


def digests(
    found: str, expected: str | None, archived: str | None, unpacked: Path | None
) -> tuple[Check, ...]:
    """Return the check that compares the study digest with the one that a reader has and the archive's own.

    None where there is neither. `unpacked` is the folder of the archive, or of a spec that a store keeps, in
    which the jobs are listed that it planned; these are held against those that it plans here.
    """
    if expected is None and unpacked is None:
        return ()

    def examine(subject: Subject, audit: Audit) -> Iterable[Finding]:
        return [] if subject is not audit.subjects[0] else list(_findings(subject, audit))

    def _findings(subject: Subject, audit: Audit) -> Iterator[Finding]:
        def about(text: str, file: str = "") -> Finding:
            place = audit.store.path if unpacked is None else unpacked / file
            return Finding(text, "the study", subject.job.digest, str(place), "error")

        if expected is not None and expected.strip().lower() != found:
            yield about(f"its study digest is {found}, not {expected[:64]!a}")
        if unpacked is None:
            return
        if archived is not None and archived != found:
            yield about(f"its study digest is {found}, the archive says {archived}", MANIFEST)
        who = "the store says that it planned" if archived is None else "the archive lists"
        listed = _listed(unpacked / PLAN)
        planned = {job.digest for job in audit.plan.jobs}
        if listed != planned:
            text = f"the spec plans {len(planned)} jobs, {who} {len(listed)}, "
            yield about(f"{text}{len(listed & planned)} of them the same", PLAN)

    return (Check("digest", "the study is the one that was named", examine),)


def _listed(path: Path) -> set[str]:
    data = read_json(path)
    return {str(row["digest"]) for row in data["jobs"]}
