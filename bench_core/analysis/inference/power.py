"""What a study can detect: from the spread of differences to the smallest difference, and back to its size.

The two-sided t-test of paired differences has noncentrality difference / error (Cohen, Statistical Power
Analysis, 2nd ed. 1988, chapter 2); the exchange test has the same power but for few groups. Its unit is the
group, so that the error holds the design effect of images that belong together (Gibson et al., Medical Image
Analysis 42, 2017, who plan segmentation studies by such a formula; Kish, Survey Sampling, 1965, section 8.2,
for groups that are not measured yet, and section 11.7 for unequal weights). The level is that of Holm's first
step, alpha over the number of pairs: a difference is detected with at least this power whatever the other
pairs turn out to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench_core.analysis.inference.distributions import scipy_part, t_quantile
from bench_core.analysis.inference.resampling import least_p, permutations_for
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS

POWER = 0.8
MARGIN = 0.5
"""The difference that is asked for, in points or the metric's unit."""
MOST_GROUPS = 10_000_000
MOST_FOLDS = 100
MOST_REPEATS = 100


@dataclass(frozen=True)
class Aim:
    """What is to be detected, how often, and among how many pairs."""

    pairs: int
    margin: float = MARGIN / 100
    """In the metric's stored unit."""
    alpha: float = 0.05
    power: float = POWER

    @property
    def level(self) -> float:
        """The level of one pair."""
        return self.alpha / self.pairs


def noncentrality(degrees: float, aim: Aim) -> float:
    """Return how many standard errors a difference must have to be detected."""
    critical = t_quantile(1 - aim.level / 2, degrees)
    return float(scipy_part("special").nctdtrinc(degrees, 1 - aim.power, critical))


def can_be_proven(groups: int, aim: Aim) -> bool:
    """Say whether the exchange test of so many groups can come below the level at all."""
    return groups >= FEWEST_GROUPS and least_p(groups, permutations_for(aim.pairs, aim.alpha)) < aim.level


def detectable(spread: float, groups: int, aim: Aim, evenness: float = 1.0) -> float | None:
    """Return the smallest detectable difference; None where so few groups prove nothing.

    `spread` is the standard deviation of one group's contribution, s sqrt(G) for a difference's error s.
    `evenness` is Kish's effective number of groups over their number, 1 where all have equal weight: the
    difference itself adds to the scatter of exchanges, the more the fewer groups hold most of the weight.
    """
    if not can_be_proven(groups, aim):
        return None
    return noncentrality(max(groups * evenness, 2.0) - 1, aim) * spread / math.sqrt(groups)


def groups_needed(spread: float, aim: Aim, evenness: float = 1.0) -> int | None:
    """Return how many groups detect the margin; None beyond ten million."""

    def enough(groups: int) -> bool:
        found = detectable(spread, groups, aim, evenness)
        return found is not None and found <= aim.margin

    return _least(enough, MOST_GROUPS)


@dataclass(frozen=True)
class Folding:
    """A cross-validation, as the corrected resampled t-test sees it."""

    spread: float
    """Standard deviation of the differences of its folds and repeats."""
    folds: int
    """Tested ones, each once in a repeat."""
    cut: int
    """How many folds the images were dealt into."""
    repeats: int
    ratio: float
    """Test images over training images."""

    def detectable(self, aim: Aim) -> float | None:
        """Return the smallest difference that the test over folds detects; None below two differences."""
        return _over_folds(self.spread, self.folds * self.repeats, self.ratio, aim)

    def repeats_needed(self, aim: Aim) -> int | None:
        """Return how many repeats detect the margin; None where more than a hundred would not either.

        More repeats cannot do away with what equal training images leave, `ratio` in the variance.
        """
        return _least(
            lambda repeats: _within(_over_folds(self.spread, self.folds * repeats, self.ratio, aim), aim),
            MOST_REPEATS,
        )

    def folds_needed(self, aim: Aim) -> int | None:
        """Return into how many folds the same images must be cut, all tested, with the repeats as they are.

        The variance of one fold's difference is taken to grow as its test images become fewer, and one fold
        at least trains. None where more than a hundred would not detect the margin either.
        """
        apart = max(0, round(self.cut - 1 - 1 / self.ratio)) if self.ratio > 0 else 0

        def enough(cut: int) -> bool:
            if cut < 2 + apart:
                return False
            spread = self.spread * math.sqrt(cut / self.cut)
            return _within(_over_folds(spread, cut * self.repeats, 1 / (cut - 1 - apart), aim), aim)

        return next((cut for cut in range(2, MOST_FOLDS + 1) if enough(cut)), None)


def _over_folds(spread: float, count: int, ratio: float, aim: Aim) -> float | None:
    if count < 2:
        return None
    return noncentrality(count - 1, aim) * spread * math.sqrt(1 / count + ratio)


def _within(found: float | None, aim: Aim) -> bool:
    return found is not None and found <= aim.margin


def _least(enough: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number that is enough, where every larger one is, too."""
    if not enough(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class AssumedSpread:
    """Scores of images as somebody thinks they will be."""

    deviation: float = 0.15
    """Standard deviation of one model's scores of images, in the metric's stored unit."""
    correlation: float = 0.7
    """Between two models' scores of the same images."""
    within: float = 0.5
    """Intraclass correlation of differences within a group."""

    def of_groups(self, images: float) -> float:
        """Return the standard deviation of the mean difference of a group of so many images.

        The variance of one difference is 2 (1 - r) s²; a group's mean has (1 + (m - 1) ICC) / m of it, the
        design effect of Kish.
        """
        one = self.deviation * math.sqrt(2 * (1 - self.correlation))
        return one * math.sqrt((1 + (images - 1) * self.within) / images)
