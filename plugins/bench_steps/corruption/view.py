"""Where an image shows something: not in the black around a sector, an endoscope's view or a round lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_steps.corruption.exact import Float

_BLACK = 12
"""Mean gray values up to this are black."""
_LARGEST = 0.9
"""Where more than this share of an image is black at its edge, it is dark, and not framed."""


def view_of(gray: Float) -> NDArray[np.bool_]:
    """Return where [H, W] the view is: all but the black areas that touch the image's edge."""
    import cv2

    size = max(3, gray.shape[0] // 100 * 2 + 1)
    # Sums of whole numbers: speckle has black pixels, which are no frame.
    mean = cv2.boxFilter(np.rint(gray), cv2.CV_64F, (size, size), borderType=cv2.BORDER_REFLECT)
    black = (mean <= _BLACK).astype(np.uint8)
    count, labels = cv2.connectedComponents(black, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    touching = np.zeros(count, dtype=bool)
    touching[edge] = True
    touching[0] = False
    outside = touching[labels]
    return ~outside if outside.mean() <= _LARGEST else np.ones(gray.shape, dtype=bool)
