"""`bench schema`: the JSON Schema of a spec."""

from __future__ import annotations

import click

from bench_core.cli.common import print_json


@click.command()
def command() -> None:
    """Print the JSON Schema of a spec, for editors and other programs.

    An editor with a YAML language server reads it through a spec's first line:
    `# yaml-language-server: $schema=../docs/spec.schema.json` after
    `bench schema > docs/spec.schema.json`.
    """
    from bench_core.spec.schema import spec_schema

    print_json(spec_schema())
