"""The page's script: modules, joined without a build step, and the policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

MODULES = (
    "base",
    "state",
    "theme",
    "choices",
    "tables",
    "alone",
    "figures",
    "explorer",
    "filters",
    "paint",
    "viewer",
    "scatter",
    "main",
)
"""Files of templates/js, each after those that it imports."""
_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./([a-z]+)\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|const|let|class) )", re.MULTILINE)


def script() -> str:
    """Return all modules as one function; their names are unique, so that imports need no counterpart."""
    parts = []
    for name in MODULES:
        text = (
            files("bench_core.report").joinpath("templates", "js", f"{name}.js").read_text(encoding="utf-8")
        )
        parts.append(_EXPORT.sub("", _IMPORT.sub("", text)))
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def policy(style: str, code: str, *, beside: bool = False) -> str:
    """Return a content security policy: this style and this script alone, and images of the page itself.

    `beside` lets the page show images that lie in its own folder.
    """
    images = "data: blob: 'self' file:" if beside else "data: blob:"
    return (
        f"default-src 'none'; img-src {images}; style-src '{_hash(style)}'; script-src '{_hash(code)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
