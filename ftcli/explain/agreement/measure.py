"""The mistakes of two models on one set: which both make, which only one makes, and how far the two agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from ftcli.explain.agreement.types import ClassMistakes, Examples, ExamplesByKind, SharedMistakes
from ftcli.measures.paired import bootstrap_difference, holm, mcnemar
from ftcli.measures.types import Difference

DISJOINT = ("common", "g1", "g2")  # every mistake is of exactly one of these kinds
KINDS = ("common", "uncommon", "g1", "g2")


def agreement_of(first: np.ndarray, second: np.ndarray) -> float:
    """The share of examples for which both predict the same class, right or wrong; int64 [N] each, N at least 1."""
    return float((first == second).mean())


def kappa_of(first: np.ndarray, second: np.ndarray) -> float | None:
    """Cohen's kappa (1960): agreement beyond that of two models that predict each class as often, at random.

    first, second: int64 [N]. None where both predict one and the same class for every example: there is nothing beyond
    chance then.
    """
    n, classes = len(first), int(max(first.max(), second.max())) + 1
    counts = [np.bincount(predicted, minlength=classes) for predicted in (first, second)]  # [K] each
    by_chance, same = int(counts[0] @ counts[1]), int((first == second).sum())  # of n², of n
    # (p_o - p_e) / (1 - p_e) in whole numbers, so that 1 - p_e is exactly zero where it should be.
    return (n * same - by_chance) / (n * n - by_chance) if by_chance < n * n else None


@dataclass(frozen=True)
class Pair:
    """The labels of the N examples of one set, N at least 1, and what two models predict: int64 [N], class indices.

    Kinds of mistakes (Neyshabur, Sedghi & Zhang 2020, section 3.2), each boolean [N]: `common`, both models are wrong;
    `uncommon`, exactly one is; `g1`, only the first; `g2`, only the second.
    """

    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def __post_init__(self) -> None:
        if not (0 < self.labels.size == self.first.size == self.second.size):
            raise ValueError("labels and the predictions of two models on the same examples are needed, one at least")

    @property
    def wrong(self) -> tuple[np.ndarray, np.ndarray]:
        """The errors of the first and of the second model: boolean [N] each."""
        return self.first != self.labels, self.second != self.labels

    def mistakes(self, kind: str) -> np.ndarray:
        """Which examples are mistakes of this kind: boolean [N]. Raises KeyError for a name that is not in KINDS."""
        a, b = self.wrong
        return {"common": a & b, "uncommon": a ^ b, "g1": a & ~b, "g2": b & ~a}[kind]

    def jaccard(self) -> float | None:
        """The share of common mistakes among all examples that a model gets wrong; None where neither errs."""
        common, uncommon = (int(self.mistakes(kind).sum()) for kind in ("common", "uncommon"))
        return common / (common + uncommon) if common + uncommon else None

    def agreement(self) -> float:
        """The share of examples for which both predict the same class, right or wrong."""
        return agreement_of(self.first, self.second)

    def kappa(self) -> float | None:
        """Cohen's kappa of the two."""
        return kappa_of(self.first, self.second)

    def difference(self, seed: int) -> Difference:
        """Accuracy of the first minus the second."""
        a, b = (1.0 - wrong for wrong in self.wrong)
        only_first, only_second = int(self.mistakes("g2").sum()), int(self.mistakes("g1").sum())  # right, not wrong
        return Difference(
            difference=(only_first - only_second) / len(self.labels),
            ci95=bootstrap_difference(a, b, seed=seed),
            p=mcnemar(only_first, only_second),
        )

    def per_class(self, classes: Sequence[str]) -> list[ClassMistakes]:
        """The count of each kind of mistake, by the true class, for every class that occurs."""
        counts = {
            kind: np.bincount(self.labels[self.mistakes(kind)], minlength=len(classes)).tolist() for kind in KINDS
        }
        present = np.bincount(self.labels, minlength=len(classes)).tolist()
        return [
            ClassMistakes(name, present[k], **{kind: counts[kind][k] for kind in KINDS})
            for k, name in enumerate(classes)
            if present[k]
        ]

    def describe(self, classes: Sequence[str], ids: Sequence[str], seed: int) -> SharedMistakes:
        """All of it. classes [K]; ids [N] name the examples; seed: of the bootstrap's draws."""
        examples = {kind: np.flatnonzero(self.mistakes(kind)).tolist() for kind in DISJOINT}
        difference = self.difference(seed)
        return SharedMistakes(
            n=len(self.labels),
            **{kind: int(self.mistakes(kind).sum()) for kind in KINDS},
            jaccard=self.jaccard(),
            agreement=self.agreement(),
            kappa=self.kappa(),
            difference=difference.difference,
            ci95=difference.ci95,
            p=difference.p,
            per_class=self.per_class(classes),
            examples=ExamplesByKind(
                **{kind: Examples(places, [ids[i] for i in places]) for kind, places in examples.items()}
            ),
            p_holm=difference.p,  # of a set alone there is nothing to correct
        )


def describe_pair(
    by_set: Mapping[str, Pair], classes: Sequence[str], ids: Mapping[str, Sequence[str]], seed: int
) -> dict[str, SharedMistakes]:
    """Two models on every set, by the set's name; `p_holm` is p after Holm's correction over the sets."""
    described = {name: pair.describe(classes, ids[name], seed) for name, pair in by_set.items()}
    corrected = holm([shared.p for shared in described.values()])
    return {name: replace(shared, p_holm=p) for (name, shared), p in zip(described.items(), corrected, strict=True)}
