"""The decision: from evidence to the kind of shift and the blocks to tune. Interventions come before gradients.

    R0  no significant loss of accuracy                                           none
    R1  the class shares differ, and nothing else does                            label
    R2  p(x) is unchanged and accuracy fell, so p(y | x) has changed              output: the head
    R3  features differ from the first blocks on, BatchNorm of the target helps
        or a fresh head does not                                                  input: `first`
    R4  a fresh head on frozen features regains most of the loss                  output: the head
    R5  features differ from later blocks on, and a fresh head does not suffice   feature: a block in the middle
    R6  everything else                                                           mixed: blocks by gradient norm

The thresholds were set before any world was looked at, and no world was used to set them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ftcli.explain.advise.types import Regained, Shift, Sure

ALPHA = 0.01
LEAST_AUC = 0.6  # from which a block counts as changed
REGAINED_BY_BATCHNORM, REGAINED_BY_HEAD, LITTLE_BY_HEAD = 0.5, 0.8, 0.5  # shares of the loss
RISE = 0.1  # of the AUC from one block to the next
FEW, WEAK = 100, 0.05  # examples; loss: below and above, nothing is sure
CLEAR = 0.1  # p value above which a test that is not significant is far from it


@dataclass(frozen=True)
class Signals:
    """What the rule goes by. Accuracies, losses and gains are fractions; None: it could not be measured.

    n: the smaller of ID-val and the target. loss, loss_p, detectable: of accuracy, as in `Drop`. labels_p: of equal
    distributions of predicted classes. explained: whether the accuracy is what the class shares alone would make it.
    by_class_p: the smallest p value over the blocks of p(features | class) being equal, the predicted class where there
    are no labels. blocks: of the body. auc, p: of every block, after label shift is taken out. head, batch_norm: what
    they regain. norms: relative gradient norms.
    """

    n: int
    loss: float | None
    loss_p: float | None
    detectable: float | None
    labels_p: float
    explained: bool | None
    by_class_p: float | None
    blocks: Sequence[str]
    auc: Sequence[float]
    p: Sequence[float]
    head: Regained | None = None
    batch_norm: Regained | None = None
    norms: dict[str, float] | None = None

    @property
    def onset(self) -> int | None:
        """The first block whose features differ significantly, with an AUC of 0.6 or more."""
        differs = (i for i in range(len(self.blocks)) if self.p[i] <= ALPHA and self.auc[i] >= LEAST_AUC)
        return next(differs, None)

    @property
    def unchanged(self) -> bool:
        """Whether no block's features differ significantly."""
        return all(p > ALPHA for p in self.p)

    @property
    def rises(self) -> list[float]:
        """How much the AUC of each block is above that of the one before; of the first, above ½."""
        return [after - before for before, after in pairwise([0.5, *self.auc])]


@dataclass(frozen=True)
class Decision:
    """blocks: as `ftcli surgical --blocks` takes them, the most promising first."""

    shift: Shift
    sure: Sure
    rule: str
    blocks: list[str]
    reason: str


def decide(signals: Signals) -> Decision:
    """The first rule that applies."""
    decision = without_labels(signals) if signals.loss is None else with_labels(signals)
    if decision.sure == "sure" and signals.n < FEW:
        few = f"{decision.reason}; with {signals.n} images on one side nothing is sure"
        return Decision(decision.shift, "leaning", decision.rule, decision.blocks, few)
    return decision


def with_labels(s: Signals) -> Decision:
    """The rules R0 to R6, on a target with labels."""
    assert s.loss is not None and s.loss_p is not None and s.detectable is not None
    if s.loss_p > ALPHA:
        sure: Sure = "sure" if s.loss_p > CLEAR and s.detectable <= WEAK else "leaning"
        shares = "; its class shares differ, which costs no accuracy that can be seen" if s.labels_p <= ALPHA else ""
        reason = (
            f"accuracy does not fall significantly ({points(-s.loss)} points, p = {s.loss_p:.2g}); a loss of "
            f"{100 * s.detectable:.1f} points would have been found in four of five cases{shares}"
        )
        return Decision("none", sure, "R0", [], reason)
    apart = s.by_class_p is not None and s.by_class_p <= ALPHA
    if s.labels_p <= ALPHA and s.explained and not apart:
        clear = s.by_class_p is not None and s.by_class_p > CLEAR
        within = "could not be tested" if s.by_class_p is None else "do not differ significantly"
        reason = f"the class shares differ, they alone can explain the accuracy, and features within classes {within}"
        return Decision("label", "sure" if clear else "leaning", "R1", [], reason)
    if s.unchanged:
        reason = "accuracy falls though no block's features differ: p(y | x) has changed, the labels of such images"
        return Decision("output", "sure" if min(s.p) > CLEAR else "leaning", "R2", ["head"], reason)
    return input_shift(s) or head_suffices(s) or feature_shift(s) or mixed(s)


def input_shift(s: Signals) -> Decision | None:
    """R3."""
    assert s.loss is not None
    if s.onset is None or s.onset > 1:
        return None
    normalised = s.batch_norm is not None and s.batch_norm.gain >= REGAINED_BY_BATCHNORM * s.loss
    little = s.head is not None and s.head.gain < LITTLE_BY_HEAD * s.loss
    if not (normalised or little):
        return None
    reasons, sure = [f"features differ from block {s.blocks[s.onset]} on (AUC {s.auc[s.onset]:.2f})"], False
    if normalised and s.batch_norm is not None:
        reasons.append(f"BatchNorm of the target {regains(s.batch_norm.gain, s.loss)}")
        sure |= s.batch_norm.ci95[0] >= REGAINED_BY_BATCHNORM * s.loss
    if little and s.head is not None:
        reasons.append(f"a fresh head {regains(s.head.gain, s.loss)}")
        sure |= s.head.ci95[1] < LITTLE_BY_HEAD * s.loss
    return Decision("input", "sure" if sure else "leaning", "R3", ["first"], ", and ".join(reasons))


def head_suffices(s: Signals) -> Decision | None:
    """R4."""
    assert s.loss is not None
    if s.head is None or s.head.gain < REGAINED_BY_HEAD * s.loss:
        return None
    sure = s.head.ci95[0] >= REGAINED_BY_HEAD * s.loss
    reason = f"a fresh head on the frozen features {regains(s.head.gain, s.loss)}: the features suffice"
    return Decision("output", "sure" if sure else "leaning", "R4", ["head"], reason)


def feature_shift(s: Signals) -> Decision | None:
    """R5; R4 has not applied."""
    assert s.loss is not None
    L = len(s.blocks)
    middle_rise = max((rise for i, rise in enumerate(s.rises) if L <= 3 * i < 2 * L), default=0.0)
    late = s.onset is not None and s.onset >= 2
    if s.head is None or not (late or middle_rise >= RISE):
        return None
    steepest = max(range(L), key=lambda i: s.rises[i])
    block = s.blocks[steepest] if s.rises[steepest] >= RISE else "middle"
    sure = late and s.head.ci95[1] < REGAINED_BY_HEAD * s.loss
    where = f"features differ from block {s.blocks[s.onset or 0]} on" if late else "features differ most in the middle"
    reason = f"{where}, and a fresh head {regains(s.head.gain, s.loss)}"
    return Decision("feature", "sure" if sure else "leaning", "R5", [block], reason)


def mixed(s: Signals) -> Decision:
    """R6: blocks by the relative norm of their gradients, the largest first."""
    norms = s.norms or {}
    ranked = sorted(norms, key=lambda name: -norms[name]) or [*s.blocks, "head"]
    return Decision("mixed", "tied", "R6", ranked, "the signals name no single block: compare them all on ID-val")


def without_labels(s: Signals) -> Decision:
    """What can be said where the target has no labels: nothing is sure, and changed labels are not seen at all."""
    unseen = "without labels neither the loss of accuracy nor a change of what the labels mean can be seen"
    if s.labels_p <= ALPHA and s.by_class_p is not None and s.by_class_p > ALPHA:
        reason = f"the shares of the predicted classes differ, and within them no feature does; {unseen}"
        return Decision("label", "leaning", "R1", [], reason)
    if s.unchanged:
        shares = "the shares of the predicted classes differ, and " if s.labels_p <= ALPHA else ""
        return Decision("none", "leaning", "R2", [], f"{shares}no block's features differ; {unseen}")
    if s.onset is not None and s.onset <= 1:
        reason = f"features differ from block {s.blocks[s.onset]} on (AUC {s.auc[s.onset]:.2f}); {unseen}"
        return Decision("input", "leaning", "R3", ["first"], reason)
    if s.onset is not None:
        steepest = max(range(len(s.blocks)), key=lambda i: s.rises[i])
        block = s.blocks[steepest] if s.rises[steepest] >= RISE else "middle"
        return Decision(
            "feature", "leaning", "R5", [block], f"features differ from block {s.blocks[s.onset]} on; {unseen}"
        )
    return Decision(
        "mixed", "tied", "R6", [*s.blocks, "head"], f"features differ a little, at no block clearly; {unseen}"
    )


def points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def regains(gain: float, loss: float) -> str:
    """What an intervention does to a loss of accuracy, above 0, in words."""
    return f"regains {100 * gain / loss:.0f} % of the loss" if gain > 0 else "regains nothing"
