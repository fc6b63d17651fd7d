"""The first-party metrics, declared like anybody's."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.declarations import Metric
from bench_core.hookspecs import hookimpl
from bench_core.options import Option

_COUNTS = "bench_core.metrics.counts"
_SURFACE = "bench_core.metrics.surface"
_RELOADED = "Maier-Hein, Reinke et al., Nature Methods 2024"

MONITORED = ("mdsc", "miou", "mrecall", "mprecision")
"""Those of pixel counts, which training can watch."""
OVERLAP_EMPTY = "undefined where neither has it; 0 where only one of truth and prediction has it"
LENGTH_EMPTY = (
    "undefined where neither has it; the image's diagonal where only one of truth and prediction has it"
)


def _overlap(name: str, title: str, of_class: str, compute: str, definition: str, empty: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        class_title=of_class,
        version=1,
        needs="counts",
        compute=f"{_COUNTS}:{compute}",
        definition=definition,
        empty=empty,
        source=_RELOADED,
    )


@hookimpl
def bench_metrics() -> Sequence[Metric]:
    """Return the metrics in the order in which tables have them."""
    return (
        _overlap("mdsc", "mDSC", "DSC", "dice", "2 TP / (2 TP + FP + FN): Dice or F1.", OVERLAP_EMPTY),
        _overlap("miou", "mIoU", "IoU", "iou", "TP / (TP + FP + FN): the Jaccard index.", OVERLAP_EMPTY),
        _overlap(
            "mrecall",
            "mRecall",
            "recall",
            "recall",
            "TP / (TP + FN): the share of the truth's pixels that are found.",
            "undefined where the truth does not have it; 0 where only the truth has it",
        ),
        _overlap(
            "mprecision",
            "mPrecision",
            "precision",
            "precision",
            "TP / (TP + FP): the share of the predicted pixels that are right.",
            OVERLAP_EMPTY,
        ),
        Metric(
            name="hd95",
            title="HD95",
            version=1,
            needs="labels",
            compute=f"{_SURFACE}:hd95",
            definition="The larger of the two directed 95th percentiles (linear between ranks) of the "
            "distances from each boundary pixel of a structure to the nearest one of the other.",
            empty=LENGTH_EMPTY,
            unit="length",
            better="lower",
            source=f"{_RELOADED}; Huttenlocher et al., IEEE TPAMI 1993",
        ),
        Metric(
            name="assd",
            title="ASSD",
            version=1,
            needs="labels",
            compute=f"{_SURFACE}:assd",
            definition="The mean of the distances from the boundary pixels of both structures, taken "
            "together, to the nearest one of the other.",
            empty=LENGTH_EMPTY,
            unit="length",
            better="lower",
            source=f"{_RELOADED}; Heimann et al., IEEE TMI 2009",
        ),
        Metric(
            name="nsd",
            title="NSD",
            version=1,
            needs="labels",
            compute=f"{_SURFACE}:nsd",
            definition="The share of the boundary pixels of both structures that lie within `tolerance` "
            "of the other's boundary.",
            empty=OVERLAP_EMPTY,
            source=f"{_RELOADED}; Nikolov et al., J Med Internet Res 2021",
            options={
                "tolerance": Option(
                    type=float,
                    default=2.0,
                    minimum=0.0,
                    help="Distance that is accepted; in mm where the spacing is known, else in pixels.",
                )
            },
        ),
    )
