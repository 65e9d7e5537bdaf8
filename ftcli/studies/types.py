"""What study.json holds, as types. Accuracies are fractions. Nothing heavy is imported."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from ftcli.engine.types import Selected, Timing
from ftcli.measures.types import FiguresBySet
from ftcli.records import Count, Foreign, Fraction, Interval, Record
from ftcli.report.types import Published, ReportWarning

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


class PublishedRow(Record, kw_only=True):
    """An accuracy that a paper states, and ours. set: `OOD` is the paper's one figure for all OOD data, held against
    our mean over the OOD sets.

    state: "measured"; "not here" where the data are not; "other data" where the cells saw other sets than the preset's;
    "not measured" where no cell of the command is finished. interval: 90 % of `difference`, ours minus the paper's.
    """

    benchmark: str
    command: str
    choice: str | UnsetType = UNSET
    set: str
    state: Literal["measured", "not here", "other data", "not measured"]
    accuracy: Fraction | UnsetType = UNSET
    n_seeds: Count | UnsetType = UNSET
    published: Fraction
    plus_minus: Fraction | UnsetType = UNSET
    difference: float | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET


class PublishedMean(Record, kw_only=True):
    """Mean accuracy of a command over the sets of a kind that were measured, ours and the paper's on the same sets."""

    command: str
    kind: Literal["ID", "OOD"]
    sets: Count
    of_sets: Count
    accuracy: Fraction
    published: Fraction


class PublishedTable(Record):
    """Our accuracies beside those of the papers."""

    rows: list[PublishedRow]
    means: list[PublishedMean]


class FeatureQualityRow(Record, kw_only=True):
    """The features of one checkpoint, and what fine-tuning does to them. Accuracies of OOD are means over the sets.

    id_set: where the probe's ID accuracy is from. difference: OOD accuracy of the probe minus that of fine-tuning.
    interval, p, scope: as of a MethodDifference.
    """

    benchmark: str
    checkpoint: str
    id_set: str
    probe_id: Fraction
    probe_ood: Fraction
    finetune_ood: Fraction
    lpft_ood: Fraction | UnsetType = UNSET
    difference: float
    interval: Interval | UnsetType = UNSET
    p: Fraction | UnsetType = UNSET
    scope: str | UnsetType = UNSET


class FeatureQualityTable(Record):
    """The checkpoints of every benchmark, the poorest features first; by benchmark what becomes of the sign."""

    rows: list[FeatureQualityRow]
    signs: dict[str, Literal["as published", "probe always", "finetune always", "mixed"]]


class EpochPick(Record, kw_only=True):
    """The epoch that a rule takes for one seed, and the accuracies there. C: of the exact probe, instead of lr."""

    seed: int
    lr: float | None
    C: float | None
    epoch: Count | None
    id_val: Fraction
    ood: dict[str, Fraction]


class EarlyStoppingRow(Record, kw_only=True):
    """A method and a rule that takes an epoch; accuracies are means over the seeds.

    rule: "id_val" is the selection rule, "last" the last epoch with the rate by ID-val there, "oracle" the selection on
    the OOD set `set`, or on the mean over them.
    """

    benchmark: str
    method: str
    rule: Literal["id_val", "last", "oracle"]
    set: str | UnsetType = UNSET
    epoch: float | None
    id_val: Fraction
    ood: dict[str, Fraction]
    ood_mean: Fraction
    seeds: list[EpochPick]


class EarlyStoppingTable(Record):
    """Which epoch each rule takes; missing: the methods whose OOD accuracy is not known at every epoch."""

    rows: list[EarlyStoppingRow]
    missing: list[str]


class PretrainingRow(Record, kw_only=True):
    """Accuracy on ID-val along the epochs of the picked run, means over the seeds. final: at the last epoch; mean: over
    the epochs; epochs_to_90: the first epoch with 90 % of `final`.
    """

    benchmark: str
    checkpoint: str
    method: str
    n_seeds: Count
    final: Fraction
    mean: Fraction
    epochs_to_90: float


class PretrainingTable(Record):
    """Every method from every checkpoint, in the order of the checkpoints."""

    rows: list[PretrainingRow]


class SurgicalChoice(Record, kw_only=True):
    """A choice of blocks over the tasks. accuracy: by task; relative: mean over the tasks of its accuracy minus that of
    the choice `all`; standard_error: of that mean, absent of a single task; rank: mean over the tasks that have every
    choice, 1 the best.
    """

    choice: str
    accuracy: dict[str, Fraction]
    relative: float | UnsetType = UNSET
    standard_error: float | UnsetType = UNSET
    rank: float | UnsetType = UNSET


class SurgicalTasksTable(Record):
    """The choices of `surgical` over the tasks. sets: by task the set whose accuracy it is."""

    sets: dict[str, str]
    choices: list[SurgicalChoice]


class PaperTables(Record, kw_only=True):
    """The tables that `--tables` asks for."""

    published: PublishedTable | UnsetType = UNSET
    feature_quality: FeatureQualityTable | UnsetType = field(name="feature-quality", default=UNSET)
    early_stopping: EarlyStoppingTable | UnsetType = field(name="early-stopping", default=UNSET)
    pretraining: PretrainingTable | UnsetType = UNSET
    surgical_tasks: SurgicalTasksTable | UnsetType = field(name="surgical-tasks", default=UNSET)


class StudyReport(Record, kw_only=True):
    """A study: every cell, and every benchmark with the results of its methods."""

    schema: Annotated[str, Meta(pattern="^ftcli/study/1$")]
    version: str
    created: str  # ISO 8601, UTC
    argv: list[str]
    config: Foreign  # the options that were given
    benchmarks: dict[str, Benchmark]
    ranks: list[Rank]
    tables: PaperTables | UnsetType = UNSET
    cells: list[CellState]
    notes: list[str]
    timing: Timing
    warnings: list[ReportWarning]
