"""What study.json holds, as types. Accuracies are fractions. Nothing heavy is imported."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from ftcli.engine.types import Selected, Timing
from ftcli.measures.types import FiguresBySet
from ftcli.records import Count, Foreign, Fraction, Interval, Record
from ftcli.report.types import Published, ReportWarning
from ftcli.studies.added_tables.types import AddedTables

SCHEMA = "ftcli/study/1"


class CellState(Record, kw_only=True):
    """A cell: its command line and what became of it. folder: its run folder below that of the study.

    problem: what a failed cell said.
    """

    folder: str
    line: str
    benchmark: str
    method: str
    seed: int
    state: Literal["finished", "unfinished", "failed", "not begun"]
    problem: str | UnsetType = UNSET


class SeedPick(Record, kw_only=True):
    """The pick of one seed: of all cells of the method with this seed, the one that the selection rule takes.

    folder: of its cell.
    """

    seed: int
    folder: str
    selected: Selected
    results: FiguresBySet


class MethodResult(Record, kw_only=True):
    """A row of the study: a command with its options, over all seeds. folder: of the best seed's model.

    picked: whether, of several rows of the same command that differ by --set, the selection rule takes this one.
    choices: of a command that compares several, their results.
    """

    method: str
    command: str
    picked: bool
    folder: str
    selected: Selected
    results: FiguresBySet
    seeds: list[SeedPick]
    choices: dict[str, FiguresBySet] | UnsetType = UNSET
    published: list[Published] | UnsetType = UNSET


class MethodDifference(Record, kw_only=True):
    """Accuracy of one method minus that of another on one set, or the mean over the OOD sets.

    interval, p: seeds and examples both as chance where `scope` is "methods"; where it is "runs", one of the two has a
    single seed, and they say something of these runs only. Absent without predictions. p_holm: corrected over all
    pairs and sets; absent of the mean.
    """

    first: str
    second: str
    set: str
    difference: float
    scope: str | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET
    p: Fraction | UnsetType = UNSET
    p_holm: Fraction | UnsetType = UNSET


class Verdict(Record, kw_only=True):
    """Which method has the highest accuracy on the set that decides, and whether a test tells it from the others.

    outcome: "winner" where it does, "no winner" where it does not, "not tested" without predictions, "not comparable"
    on different data, "one method" where there is nothing to compare. folder: of the method's model, below the study's.
    """

    outcome: str
    scope: str | UnsetType = UNSET
    set: str
    method: str
    folder: str
    accuracy: Fraction
    runner_up: str | UnsetType = UNSET
    difference: float | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET
    p: Fraction | UnsetType = UNSET
    not_told_apart: list[str] | UnsetType = UNSET
    text: str


class Benchmark(Record, kw_only=True):
    """A benchmark of the study, with one checkpoint if there are several: every method on its sets. not_here: why its
    data cannot be used, where that is so.
    """

    methods: list[MethodResult]
    differences: list[MethodDifference]
    verdict: Verdict | UnsetType = UNSET
    not_here: str | UnsetType = UNSET


class Rank(Record, kw_only=True):
    """Mean rank of a method over the benchmarks, 1 the best, by the set that decides, among the methods that all
    benchmarks have. benchmarks: how many have it; where that is not all, it has no rank.
    """

    method: str
    benchmarks: Count
    rank: float | UnsetType = UNSET


class StudyReport(Record, kw_only=True):
    """A study: every cell, and every benchmark with the results of its methods."""

    schema: Annotated[str, Meta(pattern="^ftcli/study/1$")]
    version: str
    created: str  # ISO 8601, UTC
    argv: list[str]
    config: Foreign  # the options that were given
    benchmarks: dict[str, Benchmark]
    ranks: list[Rank]
    tables: AddedTables | UnsetType = UNSET
    cells: list[CellState]
    notes: list[str]
    timing: Timing
    warnings: list[ReportWarning]
