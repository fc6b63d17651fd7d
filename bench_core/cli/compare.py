"""`bench compare`: whether two models differ, and what may be written of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, STORE, print_json, say
from bench_core.cli.reading import TRUST, reading
from bench_core.cli.studies import STUDY

if TYPE_CHECKING:
    from bench_core.analysis.evidence import Evidence
    from bench_core.analysis.inference.question import Answered, Question
    from bench_core.cli.reading import Source


@click.command()
@click.argument("model", metavar="MODEL|STORE")
@click.argument("reference", metavar="REFERENCE|STORE")
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@SET
@STORE
@click.option("--dataset", "datasets", multiple=True, help="Label of a dataset.  [default: all]")
@click.option("--metric", default="mdsc", show_default=True, help="What is compared.")
@click.option(
    "--view",
    type=click.Choice(["pooled", "images"]),
    default="pooled",
    show_default=True,
    help="Counts of all images together, or the mean of images.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0.001, 1000),
    default=1.0,
    show_default=True,
    help="Differences below it make no difference: points, or the metric's unit.",
)
@click.option(
    "--alpha", type=click.FloatRange(0.001, 0.5), default=0.05, show_default=True, help="Level of the tests."
)
@click.option(
    "--planned", is_flag=True, help="The pair was chosen before there were results: correct for no others."
)
@STUDY
@TRUST
@JSON
def command(
    model: str,
    reference: str,
    spec: Path | None,
    overrides: tuple[str, ...],
    store: Path,
    datasets: tuple[str, ...],
    metric: str,
    view: Any,
    margin: float,
    alpha: float,
    planned: bool,
    study: str | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Say whether MODEL and REFERENCE (labels in SPEC) differ, and what may be written of them.

    SPEC may be an archive, or a store that keeps the spec that was run in it.

    Tests are over groups and corrected for all pairs of models of a dataset, as in the report's part
    `comparisons`. Where both are stores or archives, two runs of one study are compared instead: which jobs
    are equal bit for bit, how much each model's number differs, and what the jobs were computed with; SPEC
    then chooses jobs and can be left away. Exit codes: 0 answered on at least one dataset, 1 invalid spec or
    unknown name, 2 could not be answered.
    """
    from bench_core.cli.compare_runs import Asked, compare_runs, is_place

    if is_place(model) and is_place(reference):
        if planned or _given("store"):
            raise click.UsageError("--planned and --store are of models, and these are two stores")
        places = Path(model), Path(reference)
        compare_runs(Asked(places, spec, overrides, datasets, metric, view, margin, alpha), as_json)
        return
    if spec is None:
        other = reference if is_place(model) else model
        raise click.UsageError(
            f"{other!r} is neither a store nor an archive; to compare two models, name the spec, too"
        )
    from bench_core.analysis.inference.question import Question

    question = Question(model, reference, metric, view, margin, alpha, planned)
    with reading(spec, store, trust_code, study) as source:
        _answer(source, overrides, question, datasets, as_json)


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _answer(
    source: Source,
    overrides: tuple[str, ...],
    question: Question,
    datasets: tuple[str, ...],
    as_json: bool,
) -> None:
    from bench_core.analysis.inference.question import ask
    from bench_core.errors import BenchError
    from bench_core.plugins.registry import unknown

    evidence = _evidence(source, overrides)
    model, reference = question.model, question.reference
    labels = [item.label for item in evidence.models]
    for name in (model, reference):
        if name not in labels:
            raise unknown("model", name, labels)
    if model == reference:
        raise BenchError(f"{model!r} is compared with itself", fix="name two models of the spec")
    known = [item.label for item in evidence.datasets]
    for name in datasets:
        if name not in known:
            raise unknown("dataset", name, known)
    answers = ask(evidence, question, tuple(dict.fromkeys(datasets)) or known)
    if all(answer.compared is None for answer in answers):
        raise BenchError(
            f"{model} and {reference} cannot be compared",
            place=str(source.place),
            cause="; ".join(f"{answer.dataset}: {answer.reason}" for answer in answers),
            fix=f"bench status {evidence.command} --store {shlex.quote(str(source.place))}",
        )
    for text in evidence.standing.unknown:
        say(f"note: {text}", err=True)
    if as_json:
        print_json(
            {
                "question": _asked(question),
                "answers": [_data(evidence, item) for item in answers],
                "not_compared": list(evidence.standing.unknown),
            }
        )
        return
    for answer in answers:
        say(_text(evidence, question, answer))


def _evidence(source: Source, overrides: tuple[str, ...]) -> Evidence:
    from bench_core.analysis.gather import gather
    from bench_core.cli.fresh import ground_of
    from bench_core.execute.fresh import MOST_NEW_BYTES
    from bench_core.plan.load import load_plan

    loaded, plan = load_plan(source.spec, overrides)
    ground = ground_of(loaded.registry, source.store, MOST_NEW_BYTES)
    command_line = source.command(overrides)
    return gather(loaded.spec, plan, loaded.registry, source.store, command_line, loaded.base, ground)


def _sentence(evidence: Evidence, answer: Answered) -> str:
    from bench_core.report.inference_words import sentence

    pair = answer.compared
    if pair is None:
        return ""
    titles = [evidence.model(label).title for label in (pair.model, pair.reference)]
    data = evidence.dataset(answer.dataset).title
    return sentence(pair, answer.quantity, answer.settings, titles[0], titles[1], data)


def _text(evidence: Evidence, question: Question, answer: Answered) -> str:
    from bench_core.analysis.inference.ranks import WILCOXON
    from bench_core.report import inference_words as words

    pair = answer.compared
    if pair is None:
        return f"{answer.dataset}: not compared; {answer.reason}"
    lines = [f"{answer.dataset}: {words.verdict_text(pair, answer.settings)}"]
    lines.append(f"  {_sentence(evidence, answer)}")
    if pair.folds is not None:
        lines.append(f"  over folds, corrected resampled t-test: {words.p_said(pair.folds.p)}")
    if pair.estimate is not None and pair.estimate.effect == pair.estimate.effect:
        share = f"better in {words.chance(pair.improvement)} of the groups"
        lines.append(f"  effect: Cohen's d of groups {pair.estimate.effect:.2f}; {question.model} is {share}")
    if answer.signed_ranks is not None:
        ranks = words.p_said(answer.signed_ranks)
        lines.append(f"  signed-rank test over groups, uncorrected ({WILCOXON}): {ranks}")
    if pair.left_out:
        lines.append(f"  {pair.left_out} images are left out, for the score of one of the two is undefined")
    return "\n".join(lines)


def _asked(question: Question) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(question)


def _data(evidence: Evidence, answer: Answered) -> dict[str, Any]:
    pair = answer.compared
    if pair is None:
        return {"dataset": answer.dataset, "verdict": None, "reason": answer.reason}
    scale, estimate = answer.quantity.scale(answer.dataset), pair.estimate
    return {
        "dataset": answer.dataset,
        "metric": answer.quantity.name,
        "view": pair.view,
        "unit": scale.unit,
        "better": scale.better,
        "verdict": pair.verdict,
        "sentence": _sentence(evidence, answer),
        "difference": _finite(pair.difference),
        "interval": [pair.interval.low, pair.interval.high] if pair.interval else None,
        "margin": answer.settings.margin,
        "images": pair.images,
        "groups": pair.groups,
        "left_out": pair.left_out,
        "pairs": pair.pairs,
        "p": pair.p,
        "p_adjusted": pair.p_adjusted,
        "p_equivalent": pair.p_equivalent,
        "p_equivalent_adjusted": pair.p_equivalent_adjusted,
        "false_claim": pair.p_false,
        "cohens_d": _finite(estimate.effect) if estimate else None,
        "improvement": _finite(pair.improvement),
        "p_folds": pair.folds.p if pair.folds else None,
        "p_signed_ranks": answer.signed_ranks,
    }


def _finite(value: float) -> float | None:
    return value if value == value else None
