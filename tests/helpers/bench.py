"""`python -m tests.helpers.bench`: the installed command, without looking for it on the path."""

from __future__ import annotations

from bench_core.cli.main import main

if __name__ == "__main__":
    main()
