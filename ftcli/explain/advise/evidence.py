"""All signals about one target, from the features of ID-val and of the target, as the report holds them."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from msgspec import UNSET

from ftcli.explain.advise import label_shift as shift
from ftcli.explain.advise.block_features import SetFeatures
from ftcli.explain.advise.divergence import excess_divergence
from ftcli.explain.advise.drop import drop_between
from ftcli.explain.advise.gradients import BlockGradients
from ftcli.explain.advise.rule import ALPHA, Signals
from ftcli.explain.advise.two_samples import TwoSampleTest, compare_blocks
from ftcli.explain.advise.types import (
    AccuracyLoss,
    BlockEvidence,
    Expected,
    GroupLoss,
    LabelShift,
    Regained,
    Separability,
)

DRAWS = 1000
FEW_DRAWS, MANY_CLASSES = 100, 64  # a K x K system is solved in every draw
LEAST_KEPT = 0.5  # of the images, where predicted classes are matched: below, too few are comparable


@dataclass(frozen=True)
class Predictions:
    """A set among the K classes that the target covers: logits [n, K], predicted [n], and labels [n] where it has
    them.
    """

    logits: np.ndarray
    labels: np.ndarray | None

    @property
    def predicted(self) -> np.ndarray:
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """bool [n], of a set with labels."""
        return self.predicted == self.labels


@dataclass(frozen=True)
class TwoSampleTests:
    """features: as they are; by_prediction, by_class: with equally many of each class. None: too few were left."""

    features: TwoSampleTest | None
    by_prediction: TwoSampleTest | None
    by_class: TwoSampleTest | None

    def named(self) -> dict[str, TwoSampleTest]:
        """Those that were made, by the names in BlockEvidence."""
        tests = {"features": self.features, "by_prediction": self.by_prediction, "by_class": self.by_class}
        return {name: test for name, test in tests.items() if test is not None}


def accuracy_loss(source: Predictions, target: Predictions, groups: np.ndarray | None) -> AccuracyLoss:
    """The loss of accuracy; groups [m]: of the target's examples."""
    of_source, of_target = float(source.correct.mean()), float(target.correct.mean())
    drop = drop_between(of_source, len(source.logits), of_target, len(target.logits), ALPHA)
    found = AccuracyLoss(
        id_val=of_source, target=of_target, loss=drop.difference, z=drop.z, p=drop.p, detectable=drop.detectable
    )
    if groups is not None:
        by_group = {str(name): target.correct[groups == name] for name in np.unique(groups)}
        name, correct = min(by_group.items(), key=lambda item: item[1].mean())
        found.worst_group = GroupLoss(name, len(correct), float(correct.mean()), of_source - float(correct.mean()))
    return found


def label_shift_of(
    source: Predictions, target: Predictions, labelled: Predictions | None, names: list[str], seed: int
) -> LabelShift:
    """The class shares of the target, from its predictions; labelled: the target's images that have labels."""
    assert source.labels is not None
    K = len(names)
    C = shift.joint_confusion(source.predicted, source.labels, K)
    p = shift.shares_of(source.labels, K)
    first, second = (np.bincount(of.predicted, minlength=K) for of in (source, target))
    chi2, p_value = shift.homogeneity(first, second, seed)
    mu = shift.shares_of(target.predicted, K)
    bbse = shift.bbse(C, mu)
    em = shift.em(shift.calibrated(target.logits, shift.calibrate(source.logits, source.labels)), p)
    condition = float(np.linalg.cond(C))

    def by_name(q: np.ndarray) -> dict[str, float]:
        return dict(zip(names, np.clip(q, 0.0, 1.0).tolist(), strict=True))

    found = LabelShift(
        chi2=chi2, p=p_value, condition=condition if np.isfinite(condition) else None, source=by_name(p),
        rlls=by_name(shift.rlls(C, mu, len(source.labels)).q), em=by_name(em.q),
    )  # fmt: skip
    if bbse is not None:
        found.bbse = by_name(bbse.q)
    if labelled is not None:
        assert labelled.labels is not None
        found.counted = by_name(shift.shares_of(labelled.labels, K))
        found.expected = expected(C, source, target, labelled, em.q if bbse is None else bbse.q, bbse is None, seed)
    return found


def expected(
    C: np.ndarray,
    source: Predictions,
    target: Predictions,
    labelled: Predictions,
    q: np.ndarray,
    fixed: bool,
    seed: int,
) -> Expected:
    """The accuracy expected from the class shares q, and how far the target's is from it: a bootstrap over the images
    of both sides. fixed: q is not estimated anew in each draw, because C cannot be inverted.
    """
    assert source.labels is not None
    K, same = len(C), target is labelled
    accuracy = shift.expected_accuracy(C, q)
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(DRAWS if K <= MANY_CLASSES else FEW_DRAWS):
        of_source = rng.integers(len(source.labels), size=len(source.labels))
        of_labelled = rng.integers(len(labelled.logits), size=len(labelled.logits))
        of_target = of_labelled if same else rng.integers(len(target.logits), size=len(target.logits))
        drawn = shift.joint_confusion(source.predicted[of_source], source.labels[of_source], K)
        estimate = None if fixed else shift.bbse(drawn, shift.shares_of(target.predicted[of_target], K))
        shares = q if estimate is None else estimate.q
        differences.append(shift.expected_accuracy(drawn, shares) - labelled.correct[of_labelled].mean())
    low, high = (float(bound) for bound in np.quantile(differences, [0.005, 0.995]))
    difference = accuracy - float(labelled.correct.mean())
    return Expected(accuracy=min(accuracy, 1.0), difference=difference, ci99=[low, high], explained=low <= 0 <= high)


def two_sample_tests(
    source: tuple[SetFeatures, Predictions], target: tuple[SetFeatures, Predictions],
    labelled: tuple[SetFeatures, Predictions] | None, seed: int,
) -> TwoSampleTests:  # fmt: skip
    """The tests of every block; labelled: the target's images that have labels, for the test within classes."""
    (features, of_source), (of_images, of_target) = source, target
    by_class = None
    if labelled is not None:
        assert of_source.labels is not None and labelled[1].labels is not None
        by_class = compare_blocks(
            features.blocks, labelled[0].blocks, (of_source.labels, labelled[1].labels), within=True, seed=seed
        )  # fmt: skip
    predicted = of_source.predicted, of_target.predicted
    return TwoSampleTests(
        compare_blocks(features.blocks, of_images.blocks, seed=seed),
        compare_blocks(features.blocks, of_images.blocks, predicted, seed=seed),
        by_class,
    )


def block_evidence(
    source: SetFeatures, target: SetFeatures, tests: TwoSampleTests, gradients: dict[str, BlockGradients], seed: int
) -> dict[str, BlockEvidence]:
    """What the report says of every block; of the head, its gradients."""
    blocks = {name: BlockEvidence() for name in dict.fromkeys(chain(source.blocks, gradients))}
    for kind, test in tests.named().items():
        for name, auc in test.auc.items():
            setattr(blocks[name], kind, Separability(auc, test.p[name]))
    for name, values in source.blocks.items():
        blocks[name].divergence, blocks[name].noise = excess_divergence(values, target.blocks[name], seed)
    for name, gradient in gradients.items():
        blocks[name].gradient, blocks[name].sign_agreement = gradient.norm, gradient.sign_agreement
    return blocks


def signals_of(
    n: int, accuracy: AccuracyLoss | None, labels: LabelShift, tests: TwoSampleTests, head: Regained | None,
    batch_norm: Regained | None, gradients: dict[str, BlockGradients],
) -> Signals:  # fmt: skip
    """What the rule goes by. Where the predicted classes differ, features are compared with equally many of each."""
    matched = tests.by_prediction
    comparable = matched is not None and matched.kept >= LEAST_KEPT
    within = tests.by_class if accuracy else matched if comparable else None
    test = matched if comparable and labels.p <= ALPHA else tests.features
    return Signals(
        n=n,
        loss=accuracy.loss if accuracy else None,
        loss_p=accuracy.p if accuracy else None,
        detectable=accuracy.detectable if accuracy else None,
        labels_p=labels.p,
        explained=None if labels.expected is UNSET else labels.expected.explained,
        by_class_p=min(within.p.values()) if within else None,
        blocks=list(test.auc) if test else [],
        auc=list(test.auc.values()) if test else [],
        p=list(test.p.values()) if test else [],
        head=head,
        batch_norm=batch_norm,
        norms={name: gradient.norm for name, gradient in gradients.items()} or None,
    )
