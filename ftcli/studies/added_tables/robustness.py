"""Table `robustness`: what each method does out of distribution and what it costs: accuracy, calibration, the worst
class, how far the features have moved, seconds. The averages of a method's runs stand below it, beside its pick.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean

from msgspec import UNSET, UnsetType
from rich.table import Table
from rich.text import Text

from ftcli.averages.types import Average
from ftcli.console.cells import BETWEEN, Layout, first_fitting, interval, percent, set_name, text
from ftcli.measures.intervals import student
from ftcli.measures.joining import ID_SETS, join_figures
from ftcli.measures.types import FiguresBySet
from ftcli.model.names import PENULTIMATE
from ftcli.studies.added_tables.material import Material
from ftcli.studies.cells import Planned
from ftcli.studies.joining import Comparison, FinishedCell, MethodRow
from ftcli.studies.types.added_tables import RobustnessRow, RobustnessTable

CAPTION = (
    "[low, high]: 90 % interval of the mean over seeds (Student's t). Above the pick: the average minus the pick of "
    "the same seed, in percentage points, with its 95 % interval over seeds. ECE: expected calibration error; T: after "
    "temperature scaling on ID-val. Worst class: the lowest recall of a class. Both are means over the OOD sets, where "
    "there are none of ID-test. Moved: relative distance of the head's input from that of the checkpoint. Seconds: all "
    "of the method's commands for one seed"
)
LEFT_OUT = ". Not made with every seed, or not measured on every set, so left out: "


def check(planned: Sequence[Planned], benchmarks: Sequence[str]) -> None:
    """Every study can fill this table; what its cells do not measure is left empty."""


def make(study: Material) -> RobustnessTable:
    """A row for each method, and below it one for each average that all its seeds have."""
    rows: list[RobustnessRow] = []
    missing: list[str] = []
    for name, comparison in study.comparisons.items():
        for row in comparison.rows:
            rows += rows_of(name, row, comparison)
            kept = averages_of(row.picks)
            asked = dict.fromkeys(one for pick in row.picks for one in averages_in(pick))
            missing += [f"{name}, {row.method}: {one}" for one in asked if one not in kept]
    return RobustnessTable(rows, missing)


def rows_of(benchmark: str, row: MethodRow, comparison: Comparison) -> Iterator[RobustnessRow]:
    """The row of a method, then those of the averages of its runs."""
    joined = described(benchmark, row, [one.results for one in row.picks])
    joined.distortion = distortion_of(row.picks)
    same = [one for one in comparison.finished if one.cell.method == row.method]
    joined.seconds = sum(one.report.timing.total_s for one in same) / len(row.picks)
    yield joined
    for name, averages in averages_of(row.picks).items():
        of_average = described(benchmark, row, [one.results for one in averages])
        of_average.average = name
        yield above_pick(of_average, averages, row.picks)


def described(benchmark: str, row: MethodRow, by_seed: Sequence[FiguresBySet]) -> RobustnessRow:
    """The figures of one method or average over its seeds."""
    found = join_figures(by_seed)
    figures = list(found.ood.values()) or list(found.by_set().values())[-1:]
    calibrated = [one.ece_calibrated for one in figures if one.ece_calibrated is not UNSET]
    return RobustnessRow(
        benchmark=benchmark, method=row.method, n_seeds=len(by_seed),
        id_test=UNSET if found.id_test is UNSET else found.id_test.accuracy, ood_mean=found.ood_mean or UNSET,
        ece=fmean(one.ece for one in figures),
        ece_calibrated=fmean(calibrated) if len(calibrated) == len(figures) else UNSET,
        worst_class_recall=fmean(one.worst_class_recall for one in figures),
    )  # fmt: skip


def averages_of(picks: Sequence[FinishedCell]) -> dict[str, list[Average]]:
    """Each average of the runs that every seed has, on the sets of the method's own row, by name."""
    by_seed = [averages_in(pick) for pick in picks]
    found = {name: [average for one in by_seed if (average := one.get(name))] for name in by_seed[0]}
    return {
        name: known
        for name, known in found.items()
        if len(known) == len(picks)
        and all(one.results.ood.keys() == pick.results.ood.keys() for one, pick in zip(known, picks, strict=True))
    }


def averages_in(pick: FinishedCell) -> dict[str, Average | None]:
    """The averages of a cell by name; None of one that could not be made."""
    return {} if pick.report.averages is UNSET else pick.report.averages.by_name


def above_pick(row: RobustnessRow, averages: Sequence[Average], picks: Sequence[FinishedCell]) -> RobustnessRow:
    """The row with its distance to the picks on the mean over the OOD sets, seed by seed."""
    of_picks = [one.report.averages.pick.results for one in picks if one.report.averages is not UNSET]
    pairs = [(one.results.ood_mean, of_pick.ood_mean) for one, of_pick in zip(averages, of_picks, strict=True)]
    differences = [one.accuracy - of_pick.accuracy for one, of_pick in pairs if one and of_pick]
    if differences:
        row.above_pick = fmean(differences)
        row.interval = student(differences, 0.95) if len(differences) > 1 else UNSET
    return row


def distortion_of(picks: Sequence[FinishedCell]) -> dict[str, float] | UnsetType:
    """The relative distance of the features on ID-val and on the OOD sets; absent where a cell did not measure it."""
    found: dict[str, list[float]] = {"id_val": [], "ood": []}
    for pick in picks:
        measured = pick.report.get("distortion")
        if measured is None:
            return UNSET
        by_set = {name: blocks[PENULTIMATE].relative for name, blocks in measured.sets.items() if PENULTIMATE in blocks}
        outside = [value for name, value in by_set.items() if name not in ID_SETS and value is not None]
        found["ood"] += [fmean(outside)] if outside else []
        found["id_val"] += [value for name, value in by_set.items() if name == "id_val" and value is not None]
    return {name: fmean(values) for name, values in found.items() if len(values) == len(picks)} or UNSET


def shown(table: RobustnessTable, width: int) -> list[Table]:
    """A table per benchmark: a row per method, its averages indented below it."""
    tables = []
    for name in dict.fromkeys(row.benchmark for row in table.rows):
        rows = [row for row in table.rows if row.benchmark == name]
        layouts = (layout_of(rows, between) for between in BETWEEN)
        lacking = [one.removeprefix(f"{name}, ") for one in table.missing if one.startswith(f"{name}, ")]
        caption = CAPTION + f"{LEFT_OUT}{'; '.join(lacking)}" * bool(lacking)
        tables += first_fitting(layouts, width).tables(width, f"{name}: robustness, in per cent", caption)
    return tables


def layout_of(rows: Sequence[RobustnessRow], between: str) -> Layout:
    """between: what parts a figure from its interval."""
    heads = [
        "", set_name("id_test"), set_name("ood_mean"), "above the pick", "ECE", "ECE, T", "worst class",
        "moved, ID-val", "moved, OOD", "seconds",
    ]  # fmt: skip
    lines = []
    for row in rows:
        moved = {} if row.distortion is UNSET else row.distortion
        mean = row.ood_mean
        words = [
            share(row.id_test),
            "-" if mean is UNSET else percent(mean.accuracy) + (between + interval(mean.ci90) if mean.ci90 else ""),
            "-" if row.above_pick is UNSET else signed(row, between),
            percent(row.ece), share(row.ece_calibrated), percent(row.worst_class_recall),
            share(moved.get("id_val", UNSET)), share(moved.get("ood", UNSET)),
            "-" if row.seconds is UNSET else f"{row.seconds:.0f}",
        ]  # fmt: skip
        name = text(row.method) if row.average is UNSET else text(f"  {row.average}")
        lines.append([name, *map(Text, words)])
    return Layout(heads, lines)


def share(value: float | UnsetType) -> str:
    return "-" if value is UNSET else percent(value)


def signed(row: RobustnessRow, between: str) -> str:
    assert row.above_pick is not UNSET
    return f"{100 * row.above_pick:+z.1f}" + ("" if row.interval is UNSET else between + interval(row.interval))
