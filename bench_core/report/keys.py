"""Keys of numbers: names of models, datasets, metrics and classes, put together and taken apart again."""

from __future__ import annotations

import re

ALL = None
"""In the place of a name: all of them together; keys have a star there."""
_PLAIN = re.compile("[A-Za-z0-9._+-]")
_CODED = re.compile("(?:=[0-9A-F]{2})+")


def key(*names: str | None) -> str:
    """Return the key made of names: each with `encoded`, or ALL, a slash between them."""
    return "/".join("*" if name is None else encoded(name) for name in names)


def encoded(name: str) -> str:
    """Return a name in characters that TeX and shells leave alone.

    ASCII letters, digits and . _ + - stay; all else is UTF-8, each byte as = and two hexadecimal digits
    (as RFC 2045 has it for quoted-printable text). `decoded` takes it back.
    """
    return "".join(
        char
        if _PLAIN.fullmatch(char)
        else "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in name
    )


def decoded(text: str) -> str:
    """Return the name that `encoded` has made text of."""
    return _CODED.sub(
        lambda match: bytes.fromhex(match[0].replace("=", "")).decode("utf-8", "surrogatepass"), text
    )


def within(prefix: str, text: str) -> str:
    """Return a key of what holds among a pool or track: `prefix` is what names of its tables begin with."""
    return f"{prefix.removesuffix('-')}@{text}" if prefix else text
