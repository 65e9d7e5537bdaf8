"""What the tables of `--tables` hold in study.json, as types. Accuracies are fractions. Nothing heavy is imported."""

from typing import Literal

from msgspec import UNSET, UnsetType, field

from ftcli.measures.types import MeanAccuracy
from ftcli.records import Count, Fraction, Interval, Record


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


class RobustnessRow(Record, kw_only=True):
    """A method, or an average of the weights of its runs, as a mean over the seeds.

    ece, ece_calibrated, worst_class_recall: means over the OOD sets, where there are none of ID-test. distortion: the
    relative distance that the head's input has moved from the checkpoint's, by "id_val" and "ood" (the mean over the
    OOD sets). above_pick: the OOD mean of an average minus that of the pick of the same seed; interval: 95 %, Student's
    t over the seeds. seconds: all cells of one seed.
    """

    benchmark: str
    method: str
    average: str | UnsetType = UNSET
    n_seeds: Count
    id_test: Fraction | UnsetType = UNSET
    ood_mean: MeanAccuracy | UnsetType = UNSET
    above_pick: float | UnsetType = UNSET
    interval: Interval | UnsetType = UNSET
    ece: Fraction
    ece_calibrated: Fraction | UnsetType = UNSET
    worst_class_recall: Fraction
    distortion: dict[str, float] | UnsetType = UNSET
    seconds: float | UnsetType = UNSET


class RobustnessTable(Record):
    """Every method of every benchmark, each with the averages of its runs below it; missing: averages that some seed
    does not have, as too few of its runs came near the pick, or that were not measured on every set.
    """

    rows: list[RobustnessRow]
    missing: list[str]


class AddedTables(Record, kw_only=True):
    """The tables that `--tables` asks for."""

    published: PublishedTable | UnsetType = UNSET
    feature_quality: FeatureQualityTable | UnsetType = field(name="feature-quality", default=UNSET)
    early_stopping: EarlyStoppingTable | UnsetType = field(name="early-stopping", default=UNSET)
    pretraining: PretrainingTable | UnsetType = UNSET
    surgical_tasks: SurgicalTasksTable | UnsetType = field(name="surgical-tasks", default=UNSET)
    robustness: RobustnessTable | UnsetType = UNSET
