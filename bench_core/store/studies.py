"""What was run in a store: each spec with all that it names, in studies/KEY.json; so a store tells its plan.

No digest and no number of a job depends on these files. They come from whoever wrote the store: names, sizes
and formats are checked here, what the spec says by whoever reads it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, TypeAdapter, ValidationError

from bench_core.errors import StoreError
from bench_core.files.bounded import MOST_JSON_BYTES, BoundError, read_json
from bench_core.store.archive_names import PLAN, SPEC, is_brought
from bench_core.store.files import make_folder, write_json

STUDIES = "studies"
STUDY_FORMAT = 1
MOST_BYTES = MOST_JSON_BYTES // 8
"""Of all that a spec brings along: JSON writes a byte as up to six, and holds the planned jobs, too."""
MOST_FILES = 10_000
KEY_LENGTH = 32
_FILE = re.compile(r"([0-9a-f]{32})\.json")
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str, StringConstraints(max_length=65_536)]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


@dataclass(frozen=True)
class Content:
    """A file that a spec brings along, as text where it is UTF-8."""

    kind: Literal["text", "base64"]
    data: str

    @classmethod
    def of(cls, raw: bytes) -> Content:
        """Return the content of these bytes."""
        try:
            return cls("text", raw.decode("utf-8"))
        except UnicodeDecodeError:
            return cls("base64", base64.b64encode(raw).decode("ascii"))

    @property
    def raw(self) -> bytes:
        """The bytes; ValueError where base64 is damaged."""
        return self.data.encode() if self.kind == "text" else base64.b64decode(self.data, validate=True)


@dataclass(frozen=True)
class KeptStudy:
    """One spec that was run in a store."""

    name: Text
    spec: str
    """YAML, base specs, variables and overrides in it; paths are names of `files`, roots `data/LABEL`."""
    files: Mapping[Text, Content]
    """Plugins, files that are models, and folds, by their names as members of an archive."""
    planned: tuple[Digest, ...]
    """Digests of all its jobs, sorted."""
    first: Moment
    """When it was first run, UTC."""
    last: Moment
    given: Text
    """The spec's path, as it was typed."""
    overrides: tuple[Text, ...] = ()
    """The values of --set."""
    places: Mapping[Text, Text] = field(default_factory=dict)
    """Label of each dataset with a root to where that lay. Said to a user and never followed."""
    segtrial: Text = ""
    """Version that ran it."""

    @cached_property
    def key(self) -> str:
        """A hash over what was run; when, by which words and with data from where do not count."""
        counted = (STUDY_FORMAT, self.name, self.spec, sorted(hashes_of(self).items()), list(self.planned))
        text = json.dumps(counted, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def file(self) -> str:
        """Its place in a store."""
        return f"{STUDIES}/{self.key}.json"


def hashes_of(study: KeptStudy) -> dict[str, str]:
    """Return the SHA-256 of each file that a study brings along, by its name."""
    return {name: hashlib.sha256(item.raw).hexdigest() for name, item in study.files.items()}


def keep_study(store: Path, study: KeptStudy) -> None:
    """Write a study, or the newer of two moments where it is there; DiskError where that cannot be."""
    path = store / study.file
    try:
        present = read_study(path)
    except (FileNotFoundError, StoreError):
        present = None
    if present is not None:
        first, last = min(present.first, study.first), max(present.last, study.last)
        wanted = replace(study if study.last >= present.last else present, first=first, last=last)
        if wanted == present:
            return
        study = wanted
    make_folder(path.parent)
    write_json(path, {"format": STUDY_FORMAT, **asdict(study)})


def kept_studies(store: Path) -> tuple[dict[str, KeptStudy], dict[str, StoreError]]:
    """Return the studies of a store by key, the newest first, and what is wrong with damaged ones."""
    found: dict[str, KeptStudy] = {}
    damaged: dict[str, StoreError] = {}
    folder = store / STUDIES
    if folder.is_symlink() or not folder.is_dir():
        return found, damaged
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        try:
            found[match[1]] = read_study(path)
        except FileNotFoundError:
            continue
        except StoreError as error:
            damaged[match[1]] = error
    order = sorted(found, key=lambda key: (found[key].last, key), reverse=True)
    return {key: found[key] for key in order}, damaged


def read_study(path: Path) -> KeptStudy:
    """Return the study in a file; FileNotFoundError without one, StoreError where it is damaged or a link."""
    try:
        if path.is_symlink():
            raise BoundError("it is a link")
        data = read_json(path)
        if not isinstance(data, dict):
            raise BoundError("it is not an object")
        form = data.pop("format", None)
        if form != STUDY_FORMAT:
            raise StoreError(
                f"the study has format {form!a:.40}, this segtrial reads format {STUDY_FORMAT}",
                place=str(path),
                fix="use the segtrial version that wrote it, or name the spec instead of the store",
            )
        study = _adapter().validate_python(data)
        _check(study)
        if f"{study.key}.json" != path.name:
            raise BoundError(f"its content has the key {study.key}")
    except FileNotFoundError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        cause = f"{'.'.join(map(str, first['loc'])):.120}: {first['msg']}"
        raise _damaged(path, cause) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return study


def _check(study: KeptStudy) -> None:
    """Raise BoundError for files out of place, or more of them than there may be."""
    if len(study.files) > MOST_FILES or sum(len(item.data) for item in study.files.values()) > 2 * MOST_BYTES:
        raise BoundError("it brings more files than a spec does")
    if not all(is_brought(name) for name in study.files):
        raise BoundError("it brings a file that no spec names")
    if study.given.startswith("-") or not study.given:
        raise BoundError("it was run from no path")


def unpack_study(study: KeptStudy, folder: Path) -> None:
    """Write spec, planned jobs and brought files below an empty folder, as an archive unpacks."""
    jobs = {"jobs": [{"digest": digest} for digest in study.planned]}
    members = {SPEC: study.spec.encode(), PLAN: json.dumps(jobs).encode()}
    members |= {name: item.raw for name, item in study.files.items()}
    for name, content in members.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            out.write(content)


def _damaged(path: Path, cause: str) -> StoreError:
    return StoreError(
        "damaged file in the store",
        place=str(path),
        cause=cause,
        fix=f"name the spec instead of the store; `rm {shlex.quote(str(path))}` forgets this study, and "
        "`bench run` keeps it anew",
    )


@cache
def _adapter() -> TypeAdapter[KeptStudy]:
    return TypeAdapter(KeptStudy)


def plain(study: KeptStudy) -> dict[str, Any]:
    """Return what a program is told of a study."""
    return {
        "key": study.key,
        "name": study.name,
        "spec": study.given,
        "set": list(study.overrides),
        "first": study.first,
        "last": study.last,
        "jobs": len(study.planned),
    }
