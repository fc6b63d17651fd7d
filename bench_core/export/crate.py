"""What a folder of results is, as RO-Crate 1.2 metadata: study, files, data, tools and who made it.

Source: RO-Crate Metadata Specification 1.2 (https://w3id.org/ro/crate/1.2) over schema.org.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.provenance import data_identities, traits
from bench_core.report import names
from bench_core.text import json_visible
from bench_core.version import __version__

METADATA = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/crate/1.2"
_TYPES = {
    ".html": "text/html", ".csv": "text/csv", ".md": "text/markdown", ".tex": "application/x-tex",
    ".zip": "application/zip", ".yaml": "application/yaml", ".jpg": "image/jpeg", ".png": "image/png",
}  # fmt: skip
_PLACE = re.compile(r"https?://[^\s<>\"{}|\\^`]+")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
Entity = dict[str, Any]


@dataclass(frozen=True)
class File:
    """A file of the crate."""

    path: str
    """Below the crate's folder, with slashes."""
    bytes: int
    sha256: str
    description: str = ""


@dataclass(frozen=True)
class Person:
    """An author, with the address of a page such as an ORCID iD, if there is one."""

    name: str
    url: str = ""


def parse_author(text: str) -> Person:
    """Return the author of "NAME" or "NAME=URL"; raises ValueError for another form."""
    name, equals, url = text.partition("=")
    if not name.strip() or (equals and not _PLACE.fullmatch(url.strip())):
        raise ValueError(f"{text!r} is not NAME or NAME=https://orcid.org/...")
    return Person(name.strip(), url.strip())


def parse_license(text: str) -> str:
    """Return the address of a license given by address or SPDX identifier; raises ValueError for neither."""
    if _PLACE.fullmatch(text):
        return text
    if _SPDX.fullmatch(text):
        return f"https://spdx.org/licenses/{text}"
    raise ValueError(f"{text!r} is no SPDX identifier, such as CC-BY-4.0, and no address")


def metadata(
    evidence: Evidence,
    files: Sequence[File],
    *,
    digest: str,
    license_url: str,
    authors: Sequence[Person] = (),
    created: int,
) -> bytes:
    """Return the content of METADATA; `digest` is that of the study, `created` seconds since 1970."""
    people = [_person(place, author) for place, author in enumerate(authors, 1)]
    data = [entity for facts in evidence.datasets for entity in _dataset(evidence, facts)]
    used = _references(item for item in data if item["@type"] == "Dataset")
    models = [_model(evidence, label) for label in (model.label for model in evidence.models)]
    tools = _tools(evidence)
    described = [_file(item) for item in files]
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": evidence.spec.name,
        "description": evidence.spec.description
        or f"Results of the segmentation study {evidence.spec.name}.",
        "datePublished": datetime.fromtimestamp(created, UTC).isoformat(),
        "license": {"@id": license_url},
        "identifier": {"@id": "#study-digest"},
        "hasPart": _references(described),
        "mentions": [{"@id": "#run"}, *_references(models)],
        "isBasedOn": used,
    }
    if people:
        root["author"] = _references(people)
    graph: list[Entity] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": PROFILE},
            "about": {"@id": "./"},
        },
        root,
        {"@id": license_url, "@type": "CreativeWork", "name": license_url.rsplit("/", 1)[-1] or license_url},
        {
            "@id": "#study-digest",
            "@type": "PropertyValue",
            "name": "study digest",
            "propertyID": "segtrial study digest",
            "value": digest,
        },
        _run(evidence, used, _references(tools), _references(described)),
        *described,
        *people,
        *data,
        *models,
        *tools,
    ]
    content = {"@context": f"{PROFILE}/context", "@graph": graph}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return (json_visible(text) + "\n").encode()


def _file(item: File) -> Entity:
    entity: Entity = {
        "@id": quote(item.path),
        "@type": "File",
        "name": item.path.rsplit("/", 1)[-1],
        "contentSize": str(item.bytes),
        "sha256": item.sha256,
    }
    suffix = item.path[item.path.rfind(".") :]
    if suffix in _TYPES:
        entity["encodingFormat"] = _TYPES[suffix]
    if item.description:
        entity["description"] = item.description
    return entity


def _person(place: int, author: Person) -> Entity:
    return {"@id": author.url or f"#author-{place}", "@type": "Person", "name": author.name}


def _dataset(evidence: Evidence, facts: DatasetFacts) -> list[Entity]:
    """Return a dataset that the study is based on, without its files, its license and its citation."""
    identity = quote(facts.label)
    entity: Entity = {
        "@id": f"#data-{identity}",
        "@type": "Dataset",
        "name": facts.title,
        "description": ", ".join(item for item in (facts.modality, *facts.classes) if item),
    }
    seen = next((item for item in data_identities(evidence) if item.dataset == facts.label), None)
    if seen is not None:
        entity["version"] = ", ".join(seen.fingerprints)
    found = [entity]
    for key, text in (("license", facts.license), ("citation", facts.citation)):
        if text:
            entity[key] = {"@id": f"#{key}-{identity}"}
            found.append({"@id": f"#{key}-{identity}", "@type": "CreativeWork", "name": text})
    return found


def _model(evidence: Evidence, label: str) -> Entity:
    facts = evidence.model(label)
    said = [f"family {facts.family}", f"runner {facts.runner}", f"track {facts.track}"]
    said += [f"options: {names.options(facts)}"] if facts.options else []
    said += [f"deviation: {item.setting}: {names.deviation(item)}" for item in facts.deviations]
    said += [f"departure: {item.what}: {names.departure(item)}" for item in facts.departures]
    return {
        "@id": f"#model-{quote(label)}",
        "@type": "SoftwareApplication",
        "name": facts.title,
        "description": "; ".join(said),
    }


def _tools(evidence: Evidence) -> list[Entity]:
    """Return segtrial, Python and the packages that the results say they were made with."""
    found = {"segtrial": __version__}
    for trait in traits(evidence):
        if trait.key in ("segtrial", "python") or trait.key.startswith("packages."):
            found[trait.key.removeprefix("packages.")] = ", ".join(trait.values)
    return [
        {
            "@id": f"#tool-{quote(name)}",
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
        }
        for name, version in found.items()
    ]


def _run(
    evidence: Evidence, data: Sequence[Entity], tools: Sequence[Entity], files: Sequence[Entity]
) -> Entity:
    entity: Entity = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"bench run {evidence.spec.name}",
        "object": list(data),
        "instrument": list(tools),
        "result": list(files),
        "actionStatus": {
            "@id": f"http://schema.org/{'Completed' if evidence.complete else 'Active'}ActionStatus"
        },
    }
    for key, name, choose in (("startTime", "started", min), ("endTime", "finished", max)):
        times = [time for _, result in evidence.results if (time := _time(result.provenance, name))]
        if times:
            entity[key] = choose(times)
    return entity


def _time(provenance: Mapping[str, Any], key: str) -> str:
    """Return a time of a job's run in UTC; empty where it is none."""
    run = provenance.get("run")
    text = str(run.get(key)) if isinstance(run, Mapping) else ""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return ""


def _references(entities: Iterable[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]
