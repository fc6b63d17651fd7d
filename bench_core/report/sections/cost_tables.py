"""Tables of costs: what networks are, what they take on a machine, and how long they trained."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from bench_core.analysis.costs import AXES, Amount, Axis, Costs, Machine, Network, trained_on
from bench_core.analysis.evidence import Evidence, Finished
from bench_core.report import names
from bench_core.report.keys import key
from bench_core.report.names import Footnotes, listed, notes_of
from bench_core.report.tables import Cell, Column, Row, Table, quotes

_AMOUNT = ("", "low", "high", "batch", "runs")
_PASSES = (
    "Of passes of the network alone, in eager mode, with inputs on the device: the median after warming up, "
    "in brackets the quartiles. Latency, memory and energy are of the smallest batch at which they were "
    "measured, throughput is of the largest. Memory is the most at one time with the weights: on CUDA what "
    "its allocator held, on a CPU the bytes of all live tensors. Training is one step of the protocol."
)
_TRAINED = (
    "Seconds per epoch: training without validation, mean ± standard deviation over folds. Epochs and one "
    "fold: means over folds, the latter with validation and test. All jobs: folds and the search of the "
    "learning rate. What else ran on the machine is in these times."
)


def figure(value: float) -> str:
    """Return a number with three digits, or all before the point where there are more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def network_table(evidence: Evidence, found: Costs, order: Sequence[str], footnotes: Footnotes) -> Table:
    """Return parameters and operations of every model and dataset."""
    rows = []
    for label in order:
        for data in evidence.datasets:
            network = found.networks.get((label, data.label))
            if network is not None:
                title = Cell(evidence.model(label).title, (label,), notes=footnotes.model(label))
                rows.append(
                    Row(
                        (
                            title,
                            Cell(data.title, (data.label,)),
                            *_counted(network, key("cost", found.step, label, data.label)),
                        ),
                        names.group_of(evidence, label),
                    )
                )
    return Table(
        name=f"{found.step}-network",
        title="Parameters and operations of one image, by formula",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("parameters", "Parameters", ("", "trainable")),
            Column("gmac", "GMAC"),
            Column("other_gflop", "Other GFLOP"),
            Column("gflop", "GFLOP in all"),
            Column("largest", "Most of it", numeric=False),
        ),
        rows=tuple(rows),
        caption="GMAC: billions (10⁹) of multiply-adds of convolutions, products of matrices and attention. "
        "This is what papers print, often as FLOPs. Other: all other floating-point operations, such as "
        "normalization, activation, interpolation, sampling, splines and selective scans, one for each value "
        "and function. In all: two for each multiply-add, and the others.",
        notes=notes_of(footnotes, rows),
    )


def _counted(network: Network, quoted: str) -> tuple[Cell, ...]:
    """Return the cells of a network; papers quote them by `quoted`/parameters and so on."""
    total, trains = network.parameters, network.trainable
    small = "" if trains == total else f"({names.count(trains)} trainable)"
    parameters = Cell(
        names.count(total),
        (total, trains),
        small=small,
        quotes=quotes(quoted, {"parameters": names.count(total), "trainable": names.count(trains)}),
    )
    if not network.operations:
        return parameters, *(Cell("–", (None,)) for _ in range(3)), Cell("not counted", ("",))
    cells = (
        Cell(figure(value), (value,), quotes=quotes(quoted, {name: figure(value)}))
        for name in ("gmac", "other-gflop", "gflop")
        for value in (network.operations[name],)
    )
    shares = ((name, f"{share:.0%}") for name, share in network.largest)
    largest = listed(f"{name} {share}" for name, share in shares if share != "0%")
    return parameters, *cells, Cell(largest, (largest,))


def machine_table(evidence: Evidence, found: Costs, order: Sequence[str]) -> Table | None:
    """Return what was measured, under the name of each machine; None where nothing was."""
    axes = [axis for axis in AXES if axis.part != "network" and axis.key != "epoch" and found.of(axis)]
    rows = []
    for machine, letter in lettered(found.machines).items():
        for label in order:
            for data in evidence.datasets:
                amounts = [_amount(found, axis, data.label, machine, label) for axis in axes]
                if any(amounts):
                    precision = next((item.precision for item in amounts if item), "")
                    cells = (
                        Cell(evidence.model(label).title, (label,)),
                        Cell(data.title, (data.label,)),
                        Cell(precision, (precision,)),
                        *(
                            _cell(axis, amount, key("cost", found.step, label, data.label, axis.key, letter))
                            for axis, amount in zip(axes, amounts, strict=True)
                        ),
                        Cell(letter, (machine.title,)),
                    )
                    rows.append(Row(cells, _heading(machine, found.machines)))
    if not rows:
        return None
    unknown = " ".join(f"{title} is not known: {why}." for title, why in found.unknown.items())
    return Table(
        name=f"{found.step}-machine",
        title="Time, memory and energy, measured",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("precision", "Precision", numeric=False),
            *(Column(_key(axis), f"{axis.title} ({axis.unit})", _AMOUNT) for axis in axes),
            Column("machine", "Machine", numeric=False),
        ),
        rows=tuple(rows),
        caption=f"{_told(found.machines)} {_PASSES} {unknown}".strip(),
    )


def lettered(machines: Sequence[Machine]) -> dict[Machine, str]:
    """Return a short name for each machine: A, B and so on."""
    return {machine: names.letters(place).upper() for place, machine in enumerate(machines)}


def _heading(machine: Machine, machines: Sequence[Machine]) -> str:
    return f"{lettered(machines)[machine]}: {machine.title}" if len(machines) > 1 else ""


def _told(machines: Sequence[Machine]) -> str:
    return " ".join(f"Machine {letter}: {machine.title}." for machine, letter in lettered(machines).items())


def _amount(found: Costs, axis: Axis, dataset: str, machine: Machine | None, model: str) -> Amount | None:
    for item in found.of(axis):
        if (item.dataset, item.machine) == (dataset, machine):
            return item.amounts.get(model)
    return None


def _key(axis: Axis) -> str:
    return f"{axis.key}_{axis.unit}".replace("/", "_per_").replace("-", "_")


def _cell(axis: Axis, amount: Amount | None, quoted: str) -> Cell:
    """Return what was measured; papers quote it by the machine's letter, and its quartiles behind that."""
    if amount is None:
        return Cell("–", (None,) * len(_AMOUNT))
    spread, said = "", {"": figure(amount.value), "runs": str(amount.runs)}
    if amount.low is not None and amount.high is not None:
        said |= {"low": figure(amount.low), "high": figure(amount.high)}
    if amount.low is not None and amount.high is not None and amount.high > amount.low:
        spread = f"({figure(amount.low)} to {figure(amount.high)})"
    batch = f"batch {amount.batch}" if amount.batch > 1 else ""
    values = (amount.value, amount.low, amount.high, amount.batch, amount.runs)
    small = " ".join(item for item in (spread, batch) if item)
    return Cell(figure(amount.value), values, small=small, quotes=quotes(quoted, said))


def training_table(evidence: Evidence, found: Costs, order: Sequence[str]) -> Table | None:
    """Return how long models trained, by machine, from the results themselves; None where none trained."""
    rows = []
    machines = sorted({trained_on(fold) for fold in evidence.folds if fold.training is not None})
    # No letter stands for two machines, whatever was measured where.
    letters = lettered(tuple(dict.fromkeys((*found.machines, *machines))))
    for machine in machines:
        for label in order:
            for data in evidence.datasets:
                cell = evidence.cell(label, data.label)
                folds = [item for item in cell.folds if item.training and trained_on(item) == machine]
                trials = [item for item in cell.trials if item.training and trained_on(item) == machine]
                if folds and (label, data.label) in found.networks:
                    letter = letters[machine]
                    quoted = key("cost", found.step, label, data.label, "trained", letter)
                    row = _trained(evidence, found, label, data.label, machine, folds, trials, quoted)
                    rows.append(
                        Row(
                            (*row, Cell(letter, (machine.title,))),
                            f"{letter}: {machine.title}" if len(machines) > 1 else "",
                        )
                    )
    if not rows:
        return None
    told = " ".join(f"Machine {letters[machine]}: {machine.title}." for machine in machines)
    return Table(
        name=f"{found.step}-training",
        title="Training, as it ran",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("epoch_s", "Seconds per epoch", ("", "low", "high")),
            Column("epochs", "Epochs"),
            Column("fold_s", "One fold"),
            Column("total_s", "All jobs", ("", "jobs")),
            Column("machine", "Machine", numeric=False),
        ),
        rows=tuple(rows),
        caption=f"{told} {_TRAINED}",
    )


def _trained(
    evidence: Evidence,
    found: Costs,
    label: str,
    dataset: str,
    machine: Machine,
    folds: Sequence[Finished],
    trials: Sequence[Finished],
    quoted: str,
) -> tuple[Cell, ...]:
    epoch = next(axis for axis in AXES if axis.key == "epoch")
    amount = _amount(found, epoch, dataset, machine, label)
    spread = ""
    if amount is not None and amount.high is not None:
        spread = f"± {figure(amount.high - amount.value)}"
    epochs = fmean(fold.training.epochs_run for fold in folds if fold.training)
    said = f"{epochs:g}" if epochs == int(epochs) else f"{epochs:.1f}"
    one, every = fmean(fold.result.seconds for fold in folds), [*folds, *trials]
    total = sum(item.result.seconds for item in every)
    return (
        Cell(evidence.model(label).title, (label,)),
        Cell(evidence.dataset(dataset).title, (dataset,)),
        Cell("–", (None, None, None))
        if amount is None
        else Cell(
            figure(amount.value),
            (amount.value, amount.low, amount.high),
            small=spread,
            quotes=quotes(
                quoted, {"epoch": figure(amount.value), "epoch/std": spread.removeprefix("± ") or None}
            ),
        ),
        Cell(said, (epochs,), quotes=quotes(quoted, {"epochs": said})),
        Cell(names.duration(one), (one,), quotes=quotes(quoted, {"fold": names.duration(one)})),
        Cell(
            names.duration(total),
            (total, len(every)),
            small=f"({names.plural(len(every), 'job')})",
            quotes=quotes(quoted, {"total": names.duration(total), "jobs": str(len(every))}),
        ),
    )
