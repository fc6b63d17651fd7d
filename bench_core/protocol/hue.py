"""Turning hues in whole numbers: what RGB to HSV and back does to bytes, without a division.

Around the circle of hues the largest, the middle and the smallest of a pixel's channels change roles at every
sixth. Within a sixth the middle one moves from one end of their spread to the other, and its way divided by
the spread is the fraction of the hue. So a turn by a fraction moves it by that fraction of the spread; where
it comes to an end, the rest of the way is that of the channel which then is the middle one.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench_core.protocol.planes import Planes

_PIXELS = 1 << 16
"""So many pixels at a time, whose intermediate numbers stay in the processor's cache."""
Bytes = NDArray[np.uint8]


def turned(image: Planes, shift: float) -> Planes:
    """Return an image of three channels with its hues turned by `shift` of a full circle.

    In torchvision's numbers, or one gray level beside one in a few pixels of a thousand: fractions of a level
    are counted in 1/256.
    """
    sixths = shift * 6
    # Two sixths exchange the channels' roles; what is left is less than one in either direction.
    pairs = math.floor((sixths + 1) / 2)
    rest = round((sixths - 2 * pairs) * 65536)
    changed = [np.empty_like(plane) for plane in image]
    source = [image[(channel - pairs) % 3].reshape(-1) for channel in range(3)]
    target = [plane.reshape(-1) for plane in changed]
    for start in range(0, source[0].size, _PIXELS):
        part = slice(start, start + _PIXELS)
        _turn([plane[part] for plane in source], abs(rest), rest >= 0, [plane[part] for plane in target])
    return changed


def _turn(colors: list[Bytes], way: int, onward: bool, changed: list[Bytes]) -> None:
    """Turn the hues of three channels by way / 65536 sixths, onward from red to green or back."""
    red, green, blue = colors
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    middle = red ^ green ^ blue ^ high ^ low
    over_green, over_blue, over_red = red >= green, green >= blue, blue >= red
    # In three of six sixths, with red, green or blue the largest and the next one in the middle, it rises.
    rising = (over_green & over_blue) | (over_red & (over_green | over_blue))
    # All that sinks is complemented: then it rises, too.
    flip = _mask(~rising if onward else rising)
    end = high ^ ((high ^ ~low) & flip)
    # The way, and what is left of it up to the end, in 1/256 of a level.
    steps = (high - low).astype(np.uint16)
    parts = steps * np.uint16(way & 255)
    steps *= np.uint16(way >> 8)
    parts >>= 8
    steps += parts
    middle ^= flip
    left = (end - middle).astype(np.uint16)
    left <<= 8
    # One of two channels moves to where it is as far from the end as way and rest are apart.
    apart = np.maximum(steps, left)
    beyond = _mask(steps > left)
    apart -= np.minimum(steps, left, out=left)
    place = end.astype(np.uint16)
    place <<= 8
    place -= apart
    # As torchvision cuts it: 255.999 times the share of 255.
    place += place >> 8
    place >>= 8
    one = place.astype(np.uint8) ^ flip
    end ^= flip
    first = one ^ ((one ^ end) & beyond)
    second = first ^ one ^ end
    # A channel is the middle one where it lies between the others. The next to move is the one before it, or
    # the one after it where the turn goes back.
    between = [_mask(over_green == over_red), _mask(over_green == over_blue), _mask(over_blue == over_red)]
    for channel in range(3):
        out = changed[channel]
        out[:] = colors[channel]
        cv2.copyTo(first, between[channel], out)
        cv2.copyTo(second, between[(channel + 1) % 3 if onward else (channel - 1) % 3], out)


def _mask(chosen: NDArray[np.bool_]) -> Any:
    """Return 255 where chosen, else 0."""
    return np.negative(chosen.view(np.uint8))
