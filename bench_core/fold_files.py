"""Which sample lies in which fold, as a file: from `bench folds export`, or a split of the user's own."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_core.errors import DataError
from bench_core.files.bounded import BoundError, open_regular, parse_json

MOST_BYTES = 128 * 1024**2
MOST_FOLDS = 1000
ROLES: Mapping[str, int] = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}
"""Words for the parts of a fixed split, as folds."""
ROLE_NAMES = ("train", "validation", "test")
FORMS = (
    "a CSV file `id,fold` (0, 1, 2 ...) or `id,split` (train, validation, test), a JSON file "
    '{"folds": {id: fold}}, {"train": [...], "validation": [...], "test": [...]} or [[ids of fold 0], ...], '
    "or nnU-Net's splits_final.json"
)
_IDS = {"id", "sample", "image", "name", "file", "case", "filename", "image_id"}
_FOLDS = {"fold", "split", "set", "subset", "part"}


@dataclass(frozen=True)
class GivenFolds:
    """A user's own assignment of samples to folds."""

    folds: Mapping[str, int]
    """Sample id, as the file spells it (NFC), to its fold."""
    roles: bool
    """Whether folds 0, 1 and 2 are the training, validation and test images of one fixed split."""

    @property
    def count(self) -> int:
        """Number of folds."""
        return max(self.folds.values()) + 1

    @property
    def content(self) -> str:
        """Return a sha256 over every sample's fold; part of the identity of jobs that use these folds."""
        lines = sorted(f"{sample}\x1f{fold}" for sample, fold in self.folds.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each fold."""
        found = Counter(self.folds.values())
        return tuple(found[fold] for fold in range(self.count))


def read_folds(path: Path) -> GivenFolds:
    """Read folds in any of FORMS; raise DataError with file and line for what cannot be used."""
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"the file of folds cannot be read: {reason}",
            place=str(path),
            fix="correct `folds:` of the dataset",
        ) from error
    if len(content) > MOST_BYTES:
        raise _wrong(path, f"is larger than {MOST_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"is not text: {error}") from error
    if text.lstrip()[:1] in ("{", "["):
        try:
            given = _from_json(path, parse_json(text, MOST_BYTES))
        except BoundError as error:
            raise _wrong(path, f"is not valid JSON: {error}") from error
    else:
        given = _from_csv(path, text)
    _check(path, given)
    return given


def write_csv(ids: Sequence[str], folds: Sequence[int], *, roles: bool = False) -> str:
    """Return CSV text with a line for each sample, which `read_folds` reads again."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "split" if roles else "fold"])
    writer.writerows(
        [sample, ROLE_NAMES[fold] if roles else fold] for sample, fold in zip(ids, folds, strict=True)
    )
    return out.getvalue()


def _from_csv(path: Path, text: str) -> GivenFolds:
    try:
        first_line = text.partition("\n")[0]
        delimiter = next((mark for mark in ";\t" if mark in first_line), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise _wrong(path, f"is not valid CSV: {error}") from error
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise _wrong(path, "is empty")
    columns = _header(rows[0][1])
    if columns is not None:
        rows = rows[1:]
    first, second = columns or (0, 1)
    found: list[tuple[str, str]] = []
    for number, cells in rows:
        if len(cells) <= max(first, second) or (columns is None and len(cells) != 2):
            raise _wrong(path, f"expected an id and a fold, found {','.join(cells)!a:.80}", line=number)
        found.append((cells[first], cells[second]))
    roles = all(fold.lower() in ROLES for _, fold in found)
    folds: dict[str, int] = {}
    for (number, _), (sample, fold) in zip(rows, found, strict=True):
        if not roles and not (fold.isascii() and fold.isdecimal() and len(fold) <= 4):
            raise _wrong(
                path, f"{fold!a:.40} is neither a fold number nor train, validation or test", line=number
            )
        _add(folds, path, sample, ROLES[fold.lower()] if roles else int(fold), line=number)
    return GivenFolds(folds, roles)


def _header(cells: Sequence[str]) -> tuple[int, int] | None:
    """Return the columns of id and fold, or None where the first line is a sample already."""
    names = [cell.lower() for cell in cells]
    ids = [number for number, name in enumerate(names) if name in _IDS]
    folds = [number for number, name in enumerate(names) if name in _FOLDS]
    return (ids[0], folds[0]) if ids and folds else None


def _from_json(path: Path, data: Any) -> GivenFolds:
    if isinstance(data, dict) and isinstance(data.get("folds"), (dict, list)):
        return _from_json(path, data["folds"])
    if isinstance(data, dict) and any(isinstance(part, list) for part in data.values()):
        return _from_split(path, data)
    if isinstance(data, dict) and data:
        return _from_mapping(path, data)
    if isinstance(data, list) and data and all(isinstance(part, list) for part in data):
        folds: dict[str, int] = {}
        for fold, part in enumerate(data):
            for sample in part:
                _add(folds, path, sample, fold)
        return GivenFolds(folds, roles=False)
    if isinstance(data, list) and data and all(isinstance(part, dict) for part in data):
        return _from_split(path, data[0]) if len(data) == 1 else _from_splits(path, data)
    raise _wrong(path, "holds no folds")


def _from_mapping(path: Path, data: Mapping[str, Any]) -> GivenFolds:
    roles = bool(data) and all(isinstance(fold, str) and fold.lower() in ROLES for fold in data.values())
    folds: dict[str, int] = {}
    for sample, fold in data.items():
        if not roles and (not isinstance(fold, int) or isinstance(fold, bool) or fold < 0):
            raise _wrong(path, f"the fold of {sample!a:.80} is {fold!a:.40}, expected a whole number from 0")
        _add(folds, path, sample, ROLES[fold.lower()] if roles else fold)
    return GivenFolds(folds, roles)


def _from_split(path: Path, data: Mapping[str, Any]) -> GivenFolds:
    """Return one fixed split; other keys than roles are remarks."""
    folds: dict[str, int] = {}
    for role, ids in data.items():
        if role.lower() not in ROLES:
            continue
        if not isinstance(ids, list):
            raise _wrong(path, f"{role!r} is not a list of ids")
        for sample in ids:
            _add(folds, path, sample, ROLES[role.lower()])
    return GivenFolds(folds, roles=True)


def _from_splits(path: Path, data: Sequence[Mapping[str, Any]]) -> GivenFolds:
    """Return the folds behind nnU-Net's list of splits: those that one split each validates on."""
    parts = [_roles_of(path, number, split) for number, split in enumerate(data)]
    folds: dict[str, int] = {}
    for number, part in enumerate(parts):
        for sample in part[1]:
            _add(folds, path, sample, number, what="validated on in two splits")
    everything = set(folds)
    for number, part in enumerate(parts):
        train, validation, test = (set(ids) for ids in part)
        following = {sample for sample, fold in folds.items() if fold == (number + 1) % len(parts)}
        if test and test != following:
            then = (number + 1) % len(parts)
            raise _wrong(path, f"split {number} does not test what split {then} validates on")
        odd = sorted(train ^ (everything - validation - test))
        if odd:
            raise _wrong(
                path,
                f"split {number} does not train on all other samples: {odd[0]!a:.80} for one",
                cause="folds are parts of the data, of which each is validated on in one split",
            )
    return GivenFolds(folds, roles=False)


def _roles_of(path: Path, number: int, split: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    parts: tuple[list[str], list[str], list[str]] = [], [], []
    for role, ids in split.items():
        if role.lower() not in ROLES or not isinstance(ids, list):
            raise _wrong(path, f"split {number}: {role!a:.40} is not a list of training or validation ids")
        parts[ROLES[role.lower()]].extend(_id(path, sample) for sample in ids)
    return parts


def _add(
    folds: dict[str, int],
    path: Path,
    sample: Any,
    fold: int,
    *,
    line: int | None = None,
    what: str = "given a second fold",
) -> None:
    sample = _id(path, sample, line)
    if folds.setdefault(sample, fold) != fold:
        raise _wrong(path, f"{sample} is {what}", line=line)


def _id(path: Path, sample: Any, line: int | None = None) -> str:
    if not isinstance(sample, str) or not sample or not sample.isprintable():
        raise _wrong(path, f"{sample!a:.80} is not a sample's id", line=line)
    return unicodedata.normalize("NFC", sample)


def _check(path: Path, given: GivenFolds) -> None:
    if not given.folds:
        raise _wrong(path, "holds no samples")
    if given.count > MOST_FOLDS:
        raise _wrong(path, f"fold {given.count - 1} is beyond the {MOST_FOLDS} that are possible")
    empty = [fold for fold, size in enumerate(given.sizes) if not size]
    if given.roles and empty:
        raise _wrong(
            path,
            f"gives no {ROLE_NAMES[empty[0]]} samples",
            cause="training, the choice of an epoch and the test each need their own",
        )
    if empty:
        raise _wrong(path, f"fold {empty[0]} has no samples", cause="folds are numbered from 0 without gaps")
    if given.count < 2:
        raise _wrong(path, "holds a single fold")


def _wrong(path: Path, what: str, *, cause: str | None = None, line: int | None = None) -> DataError:
    place = str(path) if line is None else f"{path}:{line}"
    message = f"the file of folds {what}" if line is None else what
    return DataError(message, place=place, cause=cause, fix=f"write {FORMS}")
