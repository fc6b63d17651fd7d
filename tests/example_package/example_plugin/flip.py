"""A step: does the network say the same of an image and of its mirror image?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Return label maps of mirrored images, mirrored back, and how far they agree with the usual ones."""
    network, axis = session.network(), {"horizontal": -1, "vertical": -2}[options["direction"]]

    def mirrored(batch: ImageBatch) -> Any:
        return network(batch.images.flip(axis)).flip(axis)

    found, usual = session.predict(session.test, mirrored), session.source().predictions()
    shares = [float(np.mean(one == two)) for one, two in zip(found.labels, usual.labels, strict=True)]
    session.records(
        "agreement",
        [{"id": sample, "share": share} for sample, share in zip(found.ids, shares, strict=True)],
    )
    brightness = [float(image.mean()) for batch in session.images(session.test) for image in batch.images]
    np.savez(session.artifact("maps.npz"), labels=found.labels, brightness=np.array(brightness))
    return Outcome(predictions=found, values={"agreement": float(np.mean(shares))})
