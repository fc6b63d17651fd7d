"""A small copy of NeoPolyp: doubled folders, JPEG masks, names of real sessions, a clock in each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.drawing import burn, middle, save_jpeg
from bench_datasets.readers.neopolyp_sessions import sessions
from bench_datasets.synthetic.canvas import Dice
from bench_datasets.synthetic.endoscopy import draw

SIDE = 320
"""Width; published are 1280."""
HEIGHTS = (249, 240, 249, 244, 249, 240, 249, 242, 249, 256)
"""A quarter of 995, 959, 977, 969 and 1024, the frequent ones more often."""
COLORS = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], dtype=np.uint8)
SAME_BYTES = ("04414eaa922bca73d5379c7c851a5082", "a0b0a1230b118fa8625605da2023387f")
"""Two published names of one file; both are of one session."""
FEWEST = 12
UNKNOWN = 2
"""Images that the table of sessions does not know."""
LOOKS = {"neoplastic": 0, "non-neoplastic": 1, "both": 4}
"""Numbers of the drawing program's images that show this."""


def fake_neopolyp(request: FakeRequest) -> Mapping[str, Any]:
    """Draw train/, train_gt/ and test/ with sessions, one pair of equal files and one scene in two lights."""
    count = max(request.samples, FEWEST)
    folders = {name: request.root / name / name for name in ("train", "train_gt", "test")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    names = _names(count, request.seed)
    rows: list[dict[str, Any]] = []
    drawn: dict[str, tuple[UInt8Array, UInt8Array]] = {}
    latest: dict[str | None, str] = {}
    light: list[str] = []
    for place, (name, session) in enumerate(names):
        look = _look(place)
        before = latest.get(session) if session is not None else None
        again = before is not None and not light and before not in SAME_BYTES and name not in SAME_BYTES
        if name == SAME_BYTES[1]:
            image, mask, look = *drawn[SAME_BYTES[0]], rows[0]["shows"]
        elif again and before is not None:
            image, mask = _other_light(drawn[before][0]), drawn[before][1]
            look = next(row["shows"] for row in rows if row["id"] == before)
            light = [before, name]
        else:
            image, mask = _drawn(request.seed, place, session, look)
        if name != SAME_BYTES[1] and place != count - 1:
            burn(image, _clock(session, place))
        save_jpeg(folders["train"] / f"{name}.jpeg", image)
        save_jpeg(folders["train_gt"] / f"{name}.jpeg", COLORS[mask])
        drawn[name], latest[session] = (image, mask), name
        rows.append(_row(name, session, look, mask))
    unlabelled = _test_images(request, count)
    _submission(request, unlabelled)
    duplicates = [{"kind": "same bytes", "samples": [*SAME_BYTES]}]
    if light:
        duplicates.append({"kind": "one scene in another light", "samples": light})
    return {
        "samples": sorted(rows, key=lambda row: str(row["id"])),
        "duplicates": duplicates,
        "traps": {
            "no known session": [name for name, session in names if session is None],
            "no clock": [names[-1][0]],
            "unlabelled": unlabelled,
        },
    }


def _names(count: int, seed: int) -> list[tuple[str, str | None]]:
    """Return names with their session: real ones, two or three of a session, and two that are made up."""
    members: dict[str, list[str]] = {}
    for name, session in sessions().items():
        members.setdefault(session, []).append(name)
    shared = sorted(session for session, found in members.items() if len(found) > 1)
    dice = Dice("fake neopolyp", seed, "sessions")
    first = sessions()[SAME_BYTES[0]]
    found: list[tuple[str, str | None]] = [(name, first) for name in SAME_BYTES]
    shared.remove(first)
    while len(found) < count - UNKNOWN and shared:
        session = shared.pop(dice.below(len(shared)))
        found += [(name, session) for name in members[session][: 2 + dice.below(2)]]
    del found[count - UNKNOWN :]
    # Names are windows of one long text of hexadecimal digits, as published ones are.
    text = "".join(f"{dice.below(16):x}" for _ in range(32 + 8 * (count - len(found))))
    found += [(text[8 * place : 8 * place + 32], None) for place in range(count - len(found))]
    return found


def _look(place: int) -> str:
    if place % 20 == 4:
        return "both"
    return "non-neoplastic" if place % 10 in (2, 5, 8) else "neoplastic"


def _drawn(seed: int, place: int, session: str | None, look: str) -> tuple[UInt8Array, UInt8Array]:
    patient = Dice("fake neopolyp", seed, "patient", session or f"alone {place}")
    image, mask = draw(patient, Dice("fake neopolyp", seed, "image", place), SIDE, 0.3, LOOKS[look])
    height = HEIGHTS[place % len(HEIGHTS)]
    return middle(image, height, SIDE), middle(mask, height, SIDE)


def _other_light(image: UInt8Array) -> UInt8Array:
    """Return a scene as narrow-band imaging shows it: green and blue in the foreground."""
    wide = image.astype(np.float64)
    mixed = np.stack([0.8 * wide[:, :, 1], 0.9 * wide[:, :, 1], 0.5 * wide[:, :, 0] + 0.4 * wide[:, :, 2]], 2)
    seen: UInt8Array = np.floor(mixed.clip(0, 255)).astype(np.uint8)
    return seen


def _clock(session: str | None, place: int) -> tuple[str, str]:
    """Return date and time: a day of its own for each session, images half a minute apart."""
    day = 1 + int(session or 400 + place)
    year, month, date = 2019 + day // 360, 1 + day // 30 % 12, 1 + day % 28
    shown = f"{year}/{month:02d}/{date:02d}" if place % 20 == 7 else f"{date:02d}/{month:02d}/{year}"
    return shown, f"09:{place // 2 % 60:02d}:{30 * (place % 2):02d}"


def _test_images(request: FakeRequest, count: int) -> list[str]:
    dice = Dice("fake neopolyp", request.seed, "test")
    names = ["".join(f"{dice.below(16):x}" for _ in range(32)) for _ in range(max(2, count // 5))]
    for place, name in enumerate(names):
        image, _ = _drawn(request.seed, 1_000_000 + place, None, "neoplastic")
        burn(image, _clock(None, place))
        save_jpeg(request.root / "test" / "test" / f"{name}.jpeg", image)
    return sorted(names)


def _submission(request: FakeRequest, names: list[str]) -> None:
    lines = ["Id,Expected", *(f"{name}_{label},1 1" for name in names for label in (0, 1))]
    (request.root / "sample_submission.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(name: str, session: str | None, look: str, mask: UInt8Array) -> dict[str, Any]:
    counts = np.bincount(mask.reshape(-1), minlength=3).tolist()
    return {
        "id": name,
        "group": name,
        "session": session,
        "shows": look,
        "size": [mask.shape[1], mask.shape[0]],
        "pixels": {"non-neoplastic": counts[1], "neoplastic": counts[2]},
    }
