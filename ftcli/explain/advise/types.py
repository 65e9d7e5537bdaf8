"""The part `advice` of a report: the kind of shift, the blocks to tune, and every number that says so."""

from typing import Literal

from msgspec import UNSET, UnsetType

from ftcli.records import Count, Fraction, Interval, Record

Shift = Literal["none", "label", "input", "feature", "output", "mixed"]
Sure = Literal["sure", "leaning", "tied"]


class GroupLoss(Record):
    """The group of the target with the lowest accuracy, and how far that is below the accuracy on ID-val."""

    name: str
    n: Count
    accuracy: Fraction
    loss: float


class AccuracyLoss(Record, kw_only=True):
    """Accuracy on ID-val and on the target, and the one-sided test that the latter is lower. `detectable`: the smallest
    loss that this test finds with probability 0.8.
    """

    id_val: Fraction
    target: Fraction
    loss: float
    z: float
    p: Fraction
    detectable: Fraction
    worst_group: GroupLoss | UnsetType = UNSET


class Expected(Record, kw_only=True):
    """The accuracy that the class shares alone would make: Σ q · recall. `difference`: minus the accuracy on the
    target, with a 99 % bootstrap interval. `explained`: whether that holds 0.
    """

    accuracy: Fraction
    difference: float
    ci99: Interval
    explained: bool


class LabelShift(Record, kw_only=True):
    """Class shares of the target, estimated without its labels. Absent: `bbse` where the confusion matrix cannot be
    inverted; `counted` and `expected` without labels.

    chi2, p: of equal distributions of predicted classes. condition: of the confusion matrix, None where infinite.
    """

    chi2: float
    p: Fraction
    condition: float | None
    source: dict[str, Fraction]
    bbse: dict[str, Fraction] | UnsetType = UNSET
    rlls: dict[str, Fraction]
    em: dict[str, Fraction]
    counted: dict[str, Fraction] | UnsetType = UNSET
    expected: Expected | UnsetType = UNSET


class Separability(Record):
    """How well a linear classifier tells the features of the source from those of the target, on held-out images. p:
    corrected for the number of blocks.
    """

    auc: Fraction
    p: Fraction


class BlockEvidence(Record, kw_only=True):
    """One block; the head has gradients only. `features`: images as they are; `by_prediction`: equally many of each
    predicted class on both sides; `by_class`: within classes. `divergence`: of the channels' distributions, less
    `noise`, that between halves of ID-val. `gradient`: its norm over that of the weights; `sign_agreement`: over the
    batches.
    """

    features: Separability | UnsetType = UNSET
    by_prediction: Separability | UnsetType = UNSET
    by_class: Separability | UnsetType = UNSET
    divergence: float | UnsetType = UNSET
    noise: float | UnsetType = UNSET
    gradient: float | UnsetType = UNSET
    sign_agreement: Fraction | UnsetType = UNSET


class Regained(Record):
    """Accuracy on the target after a change of one part, and what it gains, with a 95 % paired bootstrap interval."""

    accuracy: Fraction
    gain: float
    ci95: Interval


class Cost(Record, kw_only=True):
    """Images of every pass over a set, batches of gradients, and seconds by kind of work."""

    passes: dict[str, Count]
    gradient_batches: Count
    seconds: dict[str, float]


class Evidence(Record, kw_only=True):
    """Absent: `accuracy`, `fresh_head` and `batch_norm` without labels; the latter also without BatchNorm."""

    n: dict[str, Count]  # images by set
    alpha: Fraction
    accuracy: AccuracyLoss | UnsetType = UNSET
    label_shift: LabelShift
    pairs: dict[str, Count]  # images of each side that were compared, by the names in BlockEvidence
    blocks: dict[str, BlockEvidence]
    fresh_head: Regained | UnsetType = UNSET
    batch_norm: Regained | UnsetType = UNSET
    cost: Cost


class Advice(Record, kw_only=True):
    """`rule`: R0 to R6, the first that applies; `reason`: in words. `command`: what to type next."""

    shift: Shift
    sure: Sure
    rule: str
    blocks: list[str]
    reason: str
    evidence: Evidence
    command: str


PARTS = {"advice": Advice}
