"""`bench export --archive`: a finished study as one file that is verified and reported like a store."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, say


@click.command()
@click.option("--archive", "target", type=PathType(), required=True, metavar="FILE", help="The new file.")
@SPEC
@SET
@STORE
@click.option("--images", is_flag=True, help="Pack the pictures of cases, which show images of the datasets.")
@click.option("--weights", is_flag=True, help="Pack the weights of the networks.")
@JSON
def command(
    target: Path,
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    images: bool,
    weights: bool,
    as_json: bool,
) -> None:
    """Pack what a reviewer needs of SPEC into one zip file: spec, plan, results, label maps, folds, plugins.

    `bench verify`, `bench report` and `bench compare` read it in place of a spec, `bench show` in place of a
    store. Images and weights are left out unless asked for; the manifest names them with size and SHA-256.
    Nothing is overwritten. Exit codes: 0 written, 1 invalid spec, or a finished job is damaged and left out,
    2 could not write, or nothing is finished.
    """
    from bench_core.export.pack import pack
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    done = pack(loaded, plan, Store(store), target, images=images, weights=weights)
    for error in done.damaged:
        say(f"damaged, left out: {error}", err=True)
    manifest = done.manifest
    kinds = {kind: [fact for fact in manifest.left_out.values() if fact.kind == kind] for kind in KINDS}
    if as_json:
        print_json(
            {
                "archive": str(done.path),
                "bytes": done.bytes,
                "sha256": done.sha256,
                "study_digest": manifest.study,
                "jobs": {"done": manifest.done, "planned": manifest.planned},
                "left_out": {
                    kind: {"files": len(facts), "bytes": sum(fact.bytes for fact in facts)}
                    for kind, facts in kinds.items()
                },
                "damaged": [{"message": error.message, "place": error.place} for error in done.damaged],
            }
        )
    else:
        say(f"packed {manifest.done} of {manifest.planned} jobs into {done.path} ({done.bytes:,} bytes)")
        for kind, facts in kinds.items():
            if facts:
                size = sum(fact.bytes for fact in facts)
                say(f"  left out: {len(facts)} files of {kind} ({size:,} bytes); --{kind} packs them")
        say(f"SHA-256: {done.sha256}")
        say(f"study digest: {manifest.study}")
        say(f"read it with: bench verify {shlex.quote(str(done.path))}")
    if done.damaged:
        click.get_current_context().exit(1)


KINDS = ("weights", "images")
