"""200 broken specs: each is valid or names a place inside of its file, without a traceback or a hang."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_core.errors import BenchError
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from tests.helpers.spec_files import VALID, small_registry

COUNT = 200
STRANGE = [
    "", "~", "[]", "{}", "[[]]", "{a: {b: [c]}}", "1e400", "-1", "0", "9" * 300, "9" * 500, "-.inf", ".nan",
    "true", "off", "'", '"', "[", "}", "&a [*a]", "*a", "!!binary AAAA", "!!python/object:x.y z", "!x y", "|",
    ">", "? x", "- -", "${HOME", "${UNSET_VARIABLE_OF_A_TEST}", "$$", "2026-01-01", "0x", "1_0", "ünïcödé",
    "名前", "\U0001f600",
    "a" * 5000, "a: b: c", "#", "@", "`", "%", "\\", "<<: 3", "--- x", "...",
]  # fmt: skip
BYTES = [
    b"\x00",
    b"\xff",
    b"\xfe\xff",
    b"\x80abc",
    b"\x1b[2J",
    b"\xed\xa0\x80",
    b"\xef\xbf\xbf",
    b"\r",
    b"\xc2\x85",
    b"\t",
]

Mutation = Callable[[random.Random, bytes], bytes]


def _lines(raw: bytes) -> list[bytes]:
    return raw.splitlines(keepends=True)


def delete_line(rng: random.Random, raw: bytes) -> bytes:
    lines = _lines(raw)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def duplicate_line(rng: random.Random, raw: bytes) -> bytes:
    lines = _lines(raw)
    line = rng.choice(lines)
    lines.insert(rng.randrange(len(lines)), line)
    return b"".join(lines)


def swap_lines(rng: random.Random, raw: bytes) -> bytes:
    lines = _lines(raw)
    first, second = rng.sample(range(len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def indent_line(rng: random.Random, raw: bytes) -> bytes:
    lines = _lines(raw)
    index = rng.randrange(len(lines))
    lines[index] = rng.choice([b" ", b"  ", b"\t", b"- ", b"? "]) + lines[index]
    return b"".join(lines)


def rename_key(rng: random.Random, raw: bytes) -> bytes:
    words = [word for word in raw.replace(b"{", b" ").split() if word.endswith(b":")]
    word = rng.choice(words)
    position = rng.randrange(len(word))
    letter = rng.choice([b"", b"x", b"-", b" ", b"\xc3\xa9"])
    return raw.replace(word, word[:position] + letter + word[position + 1 :], 1)


def replace_value(rng: random.Random, raw: bytes) -> bytes:
    lines = _lines(raw)
    index = rng.choice([number for number, line in enumerate(lines) if b": " in line])
    head, _, _ = lines[index].partition(b": ")
    lines[index] = head + b": " + rng.choice(STRANGE).encode() + b"\n"
    return b"".join(lines)


def replace_word(rng: random.Random, raw: bytes) -> bytes:
    word = rng.choice(raw.split())
    return raw.replace(word, rng.choice(STRANGE).encode(), 1)


def insert_bytes(rng: random.Random, raw: bytes) -> bytes:
    position = rng.randrange(len(raw))
    return raw[:position] + rng.choice(BYTES) + raw[position:]


def truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def nest(rng: random.Random, raw: bytes) -> bytes:
    depth = rng.choice([5, 50, 5000])
    opening, closing = rng.choice([(b"[", b"]"), (b"{a: ", b"}"), (b"- ", b"")])
    return raw + rng.choice([b"description: ", b"seed: ", b"\n"]) + opening * depth + closing * depth + b"\n"


def cut_out(rng: random.Random, raw: bytes) -> bytes:
    start = rng.randrange(len(raw))
    return raw[:start] + raw[start + rng.randrange(1, 60) :]


def bomb(rng: random.Random, raw: bytes) -> bytes:
    levels = rng.choice([3, 9, 40])
    lines = [b"x0: &x0 [a, b]"] + [b"x%d: &x%d [*x%d, *x%d]" % (n, n, n - 1, n - 1) for n in range(1, levels)]
    return raw + b"\n".join(lines)


MUTATIONS: list[Mutation] = [
    delete_line, duplicate_line, swap_lines, indent_line, rename_key, replace_value, replace_word,
    insert_bytes, truncate, nest, cut_out, bomb,
]  # fmt: skip


def mutant(number: int) -> bytes:
    rng = random.Random(number)
    raw = VALID.encode()
    for mutate in [MUTATIONS[number % len(MUTATIONS)], *rng.choices(MUTATIONS, k=number % 3)]:
        if len(raw.split()) > 3 and b": " in raw:
            try:
                raw = mutate(rng, raw)
            except IndexError:
                continue  # Nothing left of the kind that this mutation changes.
    return raw


def test_the_mutants_differ_and_can_be_made_again() -> None:
    assert len({mutant(number) for number in range(COUNT)}) > 0.9 * COUNT
    assert mutant(7) == mutant(7)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", range(COUNT))
def test_a_mutant_is_valid_or_names_a_place_in_its_file(number: int, tmp_path: Path) -> None:
    raw = mutant(number)
    path = tmp_path / "spec.yaml"
    path.write_bytes(raw)
    try:
        loaded = load_spec(path, registry=small_registry())
    except SpecError as error:
        lines = raw.decode("utf-8", "replace").splitlines() or [""]
        assert any(found.severity == "error" for found in error.diagnostics)
        for found in error.diagnostics:
            assert found.path == str(path)
            assert 1 <= found.line <= len(lines), found
            assert 1 <= found.column <= len(lines[found.line - 1]) + 1, found
            assert found.message and found.check
            assert len(str(found)) < 2000
    except BenchError as error:
        pytest.fail(f"not a SpecError: {error!r}")
    else:
        assert loaded.spec.models and loaded.spec.datasets


def test_most_mutants_are_invalid(tmp_path: Path) -> None:
    # Otherwise the test above would check nothing.
    path = tmp_path / "spec.yaml"
    invalid = 0
    for number in range(COUNT):
        path.write_bytes(mutant(number))
        try:
            load_spec(path, registry=small_registry())
        except SpecError:
            invalid += 1
    assert invalid > 0.75 * COUNT


def listed(entry: str, count: int) -> str:
    return "".join(f"  - {entry.format(index)}\n" for index in range(count))


HUGE = {
    "variables": VALID + "description: " + "${" * 400_000 + "\n",
    "key": VALID + "? " + "a" * 900_000 + "\n: 3\n",
    "rates": VALID.replace("[1e-4, 5e-5]", "[" + "1e-4, " * 3_000 + "]"),
    "models": VALID.replace("  - tiny\n", listed("tini-{}", 3_000)),
    "exclusions": VALID + listed("{{model: no-{}, because: a test}}", 1_000),
    "keys": VALID.replace("  - tiny\n", listed("{{nam: {}}}", 1_000)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HUGE)
def test_large_mistakes_are_told_in_few_words(name: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(HUGE[name])
    with pytest.raises(SpecError) as caught:
        load_spec(path, registry=small_registry())
    assert max(len(str(found)) for found in caught.value.diagnostics) < 2000
    if name in ("rates", "models", "exclusions"):
        assert len(caught.value.diagnostics) == 100
