"""Files to text: size, encoding and control characters, each refused with its place."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bench_core.spec.diagnostics import Place, SpecError, UnreadableSpecError, diagnose
from bench_core.text import in_words, lines_of

LARGEST_FILE = 1024 * 1024
"""Bytes of a spec file."""

# YAML 1.2.2, production c-printable, less what readers disagree about: a byte-order mark inside of a file,
# and U+0085, U+2028 and U+2029, which YAML 1.1 takes for ends of lines and YAML 1.2 does not. Marks that
# reverse the text after them would show people another spec than the one that is read.
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_text(path: Path, name: str) -> str:
    """Return a file's text, read as UTF-8; `name` is what diagnostics call it.

    Raises UnreadableSpecError where there is no readable file, SpecError if it is too large or binary.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise UnreadableSpecError(
            "no such file", place=name, fix=_neighbors(path) or "correct the path"
        ) from error
    except IsADirectoryError as error:
        results = (path / "store.json").is_file()
        raise UnreadableSpecError(
            "a spec is a file, and this is a folder" + (" of results" if results else ""),
            place=name,
            fix=f"name the spec, and this folder with --store {shlex.quote(name)}" if results
            else "name the YAML file in it",
        ) from error  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableSpecError(f"cannot read the spec: {reason}", place=name) from error
    if len(raw) > LARGEST_FILE:
        raise SpecError(
            [
                diagnose(
                    Place(name, 1, 1),
                    "file-size",
                    f"the file is larger than {LARGEST_FILE // 1024} KiB",
                    cause="a spec is read by people; a file of this size is something else",
                    fix="name a spec, or split it with `extends`",
                )
            ]
        )
    return decode(raw, name)


def decode(raw: bytes, name: str) -> str:
    """Return UTF-8 bytes as text without byte-order mark; SpecError names the first byte that is not text."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        raise _binary(name, before, f"byte 0x{raw[error.start]:02x} is not UTF-8") from None
    found = _UNPRINTABLE.search(text)
    if found:
        raise _binary(name, text[: found.start()], f"the file holds {in_words(found[0])}")
    return text


def _binary(name: str, before: str, message: str) -> SpecError:
    lines = lines_of(before)
    return SpecError(
        [
            diagnose(
                Place(name, len(lines), len(lines[-1]) + 1),
                "encoding",
                message,
                cause="a spec is a text file in UTF-8 in which everything can be seen",
                fix="remove it, save the file as UTF-8 text, or correct the path if this is not a spec",
            )
        ]
    )


def _neighbors(path: Path) -> str | None:
    import difflib

    try:
        names = [item.name for item in path.parent.iterdir() if item.suffix in (".yaml", ".yml")]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"did you mean {path.parent / near[0]}?" if near else None
