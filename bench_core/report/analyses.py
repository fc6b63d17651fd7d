"""The first-party parts of a report, declared like anybody's; light to import: sections load when written."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.declarations import Analysis
from bench_core.hookspecs import hookimpl
from bench_core.metrics.plugin import MONITORED
from bench_core.options import Option

_HOME = "bench_core.report.sections"


def _metric(help_text: str) -> Option:
    return Option(type=str, default="mdsc", help=help_text, names="metric")


def _counted(help_text: str) -> Option:
    """Return the choice of a metric of pixel counts, which need no step."""
    return Option(type=str, default="mdsc", help=help_text, choices=MONITORED)


_EMPTY = Option(
    type=str,
    default="ignore",
    choices=("ignore", "one", "zero"),
    help="What a class scores that neither mask nor prediction of an image has, in per-image means.",
)

_VIEW = Option(
    type=str,
    default="pooled",
    choices=("pooled", "images"),
    help="Counts of all images together, or the mean of images: for metrics of label maps, always the "
    "latter.",
)
_POOL = Option(type=str, default="all", help="Among whom: a pool of the spec.", names="pool")
_SAMPLES = Option(type=int, default=2000, help="Resamples of the bootstrap.", minimum=200, maximum=20_000)


def _alpha(help_text: str) -> Option:
    return Option(type=float, default=0.05, help=help_text, minimum=0.001, maximum=0.5)


@hookimpl
def bench_analyses() -> Sequence[Analysis]:
    """Return the parts in the order in which a report without `analyses:` has them."""
    return (
        Analysis(
            name="summary",
            help="the finding in words and the study's table: models x datasets, mean and std over folds",
            section=f"{_HOME}.summary:section",
            options={
                "metric": _metric("Metric of the finding and of the table shown first."),
                "empty": _EMPTY,
            },
        ),
        Analysis(
            name="folds",
            help="every fold as a dot, paired differences to a reference model, all folds in numbers",
            section=f"{_HOME}.folds:section",
            options={
                "metric": _metric("Metric of the dots and differences."),
                "reference": Option(
                    type=str, default="", help="Label of the model to compare with; empty: the best average."
                ),
            },
        ),
        Analysis(
            name="comparisons",
            help="which differences are real: interval, test and verdict of each model against the leader",
            section=f"{_HOME}.comparisons:section",
            options={
                "metric": _metric("Metric that is compared."),
                "pool": _POOL,
                "view": _VIEW,
                "margin": Option(
                    type=float,
                    default=1.0,
                    help="Differences below it make no difference, in points or the metric's unit.",
                    minimum=0.001,
                    maximum=1000,
                ),
                "alpha": _alpha("Level of the tests; intervals have confidence 1 - alpha."),
                "detect": Option(
                    type=float,
                    default=0.5,
                    help="The difference for which the needed images, folds and repeats are told, in points "
                    "or the metric's unit.",
                    minimum=0.001,
                    maximum=1000,
                ),
                "samples": _SAMPLES,
                "empty": _EMPTY,
            },
        ),
        Analysis(
            name="ranks",
            help="who is best and how sure that is: ranks with intervals on each dataset and over all",
            section=f"{_HOME}.ranks:section",
            options={
                "metric": _metric("Metric that ranks."),
                "pool": _POOL,
                "impute": Option(
                    type=str,
                    default="none",
                    choices=("none", "worst"),
                    help="How a model that lacks a dataset is ranked over datasets: none, not at all; worst, "
                    "as the last on that dataset.",
                ),
                "view": _VIEW,
                "alpha": _alpha("Intervals have confidence 1 - alpha."),
                "samples": _SAMPLES,
                "empty": _EMPTY,
            },
        ),
        Analysis(
            name="families",
            help="whether a family is better than another, more than the choice of its models explains",
            section=f"{_HOME}.families:section",
            options={
                "metric": _metric("Metric that is compared."),
                "pool": _POOL,
                "view": _VIEW,
                "alpha": _alpha("Level of the tests; intervals have confidence 1 - alpha."),
                "empty": _EMPTY,
            },
        ),
        Analysis(
            name="expected",
            help="ours beside what others have published, where the spec says what they expect",
            section=f"{_HOME}.expected:section",
            options={"alpha": _alpha("Intervals have confidence 1 - alpha.")},
        ),
        Analysis(
            name="claims",
            help="the spec's claims: supported, contradicted or not decided, and by which comparisons",
            section=f"{_HOME}.claims:section",
            options={
                "alpha": _alpha("Level at which each claim is supported or contradicted."),
                "samples": _SAMPLES,
                "empty": _EMPTY,
            },
        ),
        Analysis(
            name="per-class",
            help="one table per dataset with a column for each foreground class",
            section=f"{_HOME}.classes:section",
            options={"metric": _metric("Metric of the columns.")},
        ),
        Analysis(
            name="baselines",
            help="the score of predicting one class everywhere beside the models'; only where it is listed",
            section=f"{_HOME}.baselines:section",
            options={
                "metric": _counted("Metric of the scores."),
            },
        ),
        Analysis(
            name="subgroups",
            help="mean per-image score by what is known of the images, and whether differences depend on it",
            section=f"{_HOME}.subgroups:section",
            options={
                "metric": _metric("Metric of the means."),
                "attributes": Option(
                    type=list,
                    default=[],
                    help="Which attributes, automatic ones as auto:size and so on; empty: all.",
                ),
                "bins": Option(
                    type=int, default=3, help="Ranges that numbers are cut into.", minimum=2, maximum=10
                ),
                "alpha": _alpha("Level of the tests; intervals have confidence 1 - alpha."),
                "samples": _SAMPLES,
            },
        ),
        Analysis(
            name="failures",
            help="images that are hard for all models, and those on which one fails and another does not",
            section=f"{_HOME}.failures:section",
            options={
                "metric": _metric("Metric of the images."),
                "count": Option(type=int, default=10, help="Images of each list.", minimum=1, maximum=200),
                "low": Option(
                    type=float,
                    default=50.0,
                    help="A model fails where its score is worse, in points or the metric's unit.",
                    minimum=0,
                ),
                "first": Option(
                    type=str, default="", help="Label of one of two models; empty: each dataset's leader."
                ),
                "second": Option(
                    type=str, default="", help="Label of the other; empty: the best of another family."
                ),
                "pictures": Option(
                    type=int, default=2, help="Images of each list that are shown.", minimum=0, maximum=20
                ),
            },
        ),
        Analysis(
            name="suspects",
            help="images on which the models agree with each other and not with the label",
            section=f"{_HOME}.suspects:section",
            options={
                "count": Option(type=int, default=12, help="Images of each dataset.", minimum=1, maximum=500),
                "voters": Option(
                    type=int,
                    default=5,
                    help="Models that vote at most: the best ones, families in turn. Many take long to read.",
                    minimum=3,
                    maximum=200,
                ),
                "pictures": Option(
                    type=int, default=4, help="Of them, how many are shown.", minimum=0, maximum=50
                ),
            },
        ),
        Analysis(
            name="transfer",
            help="networks on other datasets beside home: scores, intervals, what is lost, and ranks",
            section=f"{_HOME}.transfer:section",
            options={
                "metric": _counted("Metric of the scores."),
                "alpha": _alpha("Intervals have confidence 1 - alpha."),
                "samples": _SAMPLES,
            },
        ),
        Analysis(
            name="corruption",
            help="networks under corruptions of imaging: what is lost, and whose rank changes",
            section=f"{_HOME}.corruption:section",
            options={
                "metric": _counted("Metric of the scores."),
                "alpha": _alpha("Intervals have confidence 1 - alpha."),
                "samples": _SAMPLES,
                "pictures": Option(type=bool, default=True, help="Show an image under each corruption."),
            },
        ),
        Analysis(
            name="grad-cam",
            help="where networks look: heat maps in numbers, against depth and Dice, and as pictures",
            section=f"{_HOME}.maps:section",
            options={
                "alpha": _alpha("Intervals have confidence 1 - alpha."),
                "samples": _SAMPLES,
                "pictures": Option(
                    type=int,
                    default=2,
                    help="Images of each set and class whose maps are shown.",
                    minimum=0,
                    maximum=50,
                ),
                "megabytes": Option(
                    type=int, default=4, help="Room for pictures of maps.", minimum=0, maximum=1000
                ),
            },
        ),
        Analysis(
            name="cost",
            help="parameters, operations, time, memory, energy; scores against costs; best within a budget",
            section=f"{_HOME}.cost:section",
            options={
                "metric": _metric("Metric that is set against costs."),
                "budgets": Option(
                    type=dict,
                    default={},
                    help="Budgets by kind of cost, {gmac: [20, 50]}: parameters (M), gmac, latency (ms), "
                    "throughput (images/s), memory (MB), energy (J), epoch (s), training-memory, "
                    "training-energy. Of a kind without any: where the best model changes.",
                ),
            },
        ),
        Analysis(
            name="search",
            help="learning rate against validation metric, the chosen rate, warnings at the grid's edge",
            section=f"{_HOME}.search:section",
        ),
        Analysis(
            name="curves",
            help="validation metric and training loss by epoch, folds thin, their mean thick",
            section=f"{_HOME}.curves:section",
            options={
                "metric": _counted("Validation metric of the curves."),
                "loss": Option(type=bool, default=True, help="Offer the training loss, too."),
            },
        ),
        Analysis(
            name="predictions",
            help="the same images for all models: each one's errors beside the ground truth",
            section=f"{_HOME}.predictions:section",
            options={
                "median": Option(type=bool, default=True, help="Show a median image, too."),
                "width": Option(
                    type=int,
                    default=256,
                    help="Largest width of a picture in pixels.",
                    minimum=32,
                    maximum=512,
                ),
                "images": Option(
                    type=str,
                    default="kept",
                    choices=("kept", "data"),
                    help="Single images to look at: those that results keep, or any, read from the data.",
                ),
                "megabytes": Option(
                    type=int,
                    default=8,
                    help="Room for pictures of single images; 0 leaves out viewer and scatter plot.",
                    minimum=0,
                    maximum=10_000,
                ),
            },
        ),
        Analysis(
            name="steps",
            help="the numbers and files that steps, and runners with a procedure of their own, left",
            section=f"{_HOME}.steps:section",
        ),
        Analysis(
            name="provenance",
            help="protocol, environment, data, effort, options, deviations, exclusions, how to repeat it",
            section=f"{_HOME}.provenance:section",
            options={
                "spec": Option(type=bool, default=True, help="Embed the resolved spec."),
                "jobs": Option(type=bool, default=True, help="List every job with its digest."),
            },
        ),
    )
