"""What the engine tells a report: picks, runs and epochs as JSON objects with types. Nothing heavy is imported."""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Fraction, Record


class Score(Record):
    """Accuracy and mean cross-entropy (nats) on one set."""

    accuracy: Fraction
    loss: float


class Epoch(Record, kw_only=True):
    """One epoch of a run. loss: the mean training loss, None of the epoch before training; seconds: with evaluation."""

    epoch: Count
    loss: float | None
    id_val: Score
    ood: dict[str, Score] | UnsetType = UNSET
    seconds: float


class RunRecord(Record, kw_only=True):
    """One candidate of the grid. epoch: the one that the run puts forward; reason: when and why it diverged;
    eliminated: the epoch after which `--budget` ended it.

    duality_gap: of the exact probe, a proven upper bound on (F - F*) / F, with the objective F and its least value F*.
    worst_group_accuracy: where that picks, on the images that pick.
    """

    choice: str | UnsetType = UNSET
    seed: int
    lr: float | UnsetType = UNSET
    C: float | UnsetType = UNSET
    duality_gap: Fraction | UnsetType = UNSET
    epoch: Count | UnsetType | None = UNSET
    id_val: Score | None
    worst_group_accuracy: Fraction | UnsetType = UNSET
    diverged: bool
    reason: str | UnsetType | None = UNSET
    eliminated: Count | UnsetType = UNSET
    history: list[Epoch] | UnsetType = UNSET

    def epochs(self) -> list[Epoch]:
        """The history; empty of a candidate that no loop trained."""
        return [] if self.history is UNSET else self.history

    def line(self, epoch: Epoch) -> dict[str, Any]:
        """One of its epochs as a line of history.jsonl."""
        return {key: self[key] for key in ("choice", "seed", "lr") if key in self} | epoch.to_dict()


class EpochScores(Record):
    """Gradient scores at the beginning of an epoch: by tensor, and in a report their means by block."""

    epoch: Count
    tensors: dict[str, float]
    blocks: dict[str, float] | UnsetType = UNSET


class RunScores(Record):
    """The gradient scores of one run."""

    seed: int
    lr: float
    epochs: list[EpochScores]


class LowRankLayers(Record, kw_only=True):
    """What `--tune lora:R` trained: layers whose weights are W + (alpha/rank)·BA; parameters: numbers in all A and B;
    left_out: layers of the same kind that stayed as they were, by the reason.
    """

    rank: Count
    alpha: Count
    layers: list[str]
    parameters: Count
    left_out: dict[str, list[str]]


class HeadNorms(Record):
    """Of a head the Frobenius norm of its weights and the norm of its bias, over the classes with training examples."""

    weight: float
    bias: float


class Selected(Record, kw_only=True):
    """A pick: one epoch of one run, or one C of the probe's path. choice: of a command that compares several. average:
    the name of the average that is saved in its place, which then has `id_val`. rule: "se" of one by the
    one-standard-error rule.
    """

    choice: str | UnsetType = UNSET
    average: str | UnsetType = UNSET
    rule: Literal["se"] | UnsetType = UNSET
    seed: int
    lr: float | None
    epoch: Count | None
    C: float | None
    edge_of_grid: bool
    id_val: Score
    worst_group_accuracy: Fraction | UnsetType = UNSET


class OraclePick(Record, kw_only=True):
    """What selection on OOD data would have picked, and its accuracy and loss there."""

    choice: str | UnsetType = UNSET
    seed: int
    lr: float | None
    epoch: Count
    accuracy: Fraction
    loss: float
    id_val: Score


class Timing(Record):
    """Seconds, and images per second of the training loop with its ID-val passes."""

    total_s: float
    features_s: float | UnsetType | None = UNSET
    train_s: float | UnsetType | None = UNSET
    images_per_s: float | UnsetType | None = UNSET
