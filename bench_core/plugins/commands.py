"""The names of `bench`'s own commands, which no plugin may take."""

from __future__ import annotations

COMMANDS = {
    "validate": "check specs and name every mistake at once",
    "schema": "print the JSON Schema of a spec",
    "plan": "expand a spec into its job matrix",
    "data": "check, prepare and show datasets, or draw small copies of them",
    "folds": "write the folds of a spec to a file, or check a file of folds",
    "cache": "list, remove or verify the caches of decoded images",
    "run": "run the jobs of a spec that are not done",
    "worker": "pull jobs of a queued study, one process of many",
    "fleets": "list or stop the workers that were started elsewhere",
    "status": "say what is done, running, failed and to do",
    "logs": "print the log of a job",
    "show": "print everything known of a job",
    "verify": "check that the finished jobs were one experiment",
    "accept": "keep results although data, a plugin or weights have changed",
    "report": "turn results into tables, figures and an HTML page",
    "compare": "say whether two models differ and what may be written of them, or two runs of one study",
    "merge": "take the results of several machines into one store",
    "export": "write tables, counts, label maps or networks for other programs",
    "predict": "predict images of your own with finished networks",
    "conformance": "compare two runners on one small job, item by item",
    "new": "begin a plugin with files that work",
    "test": "try an architecture or a runner against what it owes",
    "list": "list models, datasets, runners or plugins",
    "weights": "list the files of pretrained weights, or download them",
    "doctor": "say what this environment has and what is missing",
}
"""Subcommand (file bench_core/cli/NAME.py, object `command`) to its line in the help."""
