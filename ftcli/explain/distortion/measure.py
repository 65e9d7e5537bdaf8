"""Feature distortion: how far each block's features moved, how alike they stayed, how their subspaces turned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor, nn

from ftcli.engine.experiment import Experiment
from ftcli.errors import RunError
from ftcli.explain.distortion.distances import Distances
from ftcli.explain.distortion.moments import Products, Waiting
from ftcli.explain.distortion.paired_outputs import paired_block_outputs
from ftcli.explain.distortion.similarity import HSIC_BATCH, UnbiasedCKA, linear_cka
from ftcli.explain.distortion.subspaces import principal_angles, principal_directions, subspace_distance
from ftcli.log import Log
from ftcli.model.block_outputs import PENULTIMATE
from ftcli.model.weights import parameter_distances

Outputs = Mapping[str, Tensor]  # {block: [b, C]}, float64


@dataclass(frozen=True)
class Wanted:
    """What is computed besides distances and CKA of each block with itself."""

    k: int = 16
    matrix: bool = False
    unbiased: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Side:
    """A model that is held against another. `head`: whether it has one whose rows stand for the same classes in the
    same order as those of the first; zeros that stand in for a head are no weights.
    """

    name: str
    model: nn.Module
    head: bool = True


@dataclass
class Pair:
    """One model held against the first on one set. All of it is sums: memory does not grow with the set."""

    wanted: Wanted
    distances: dict[str, Distances] = field(default_factory=dict)
    cross: dict[tuple[str, str], Products] = field(default_factory=dict)
    unbiased: dict[str, UnbiasedCKA] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)

    def add(self, before: Outputs, after: Outputs) -> None:
        """One batch of both."""
        for name, values in before.items():
            self.distances.setdefault(name, Distances()).add(values, after[name])
        for names in product(before, after) if self.wanted.matrix else zip(before, after, strict=True):
            self.cross.setdefault(names, Products()).add(before[names[0]], after[names[1]])
        if self.wanted.unbiased:
            for name, values in before.items():
                for batch in self.waiting.setdefault(name, Waiting(HSIC_BATCH)).add(values, after[name]):
                    self.unbiased.setdefault(name, UnbiasedCKA()).add(*batch)

    def end(self) -> None:
        """After the last batch."""
        for name, waiting in self.waiting.items():
            if (rest := waiting.rest()) is not None:
                self.unbiased.setdefault(name, UnbiasedCKA()).add(*rest)


@dataclass
class Own:
    """What one model's features have of their own: the products of each block with itself."""

    products: dict[str, Products] = field(default_factory=dict)

    def add(self, outputs: Outputs) -> None:
        """One batch."""
        for name, values in outputs.items():
            self.products.setdefault(name, Products()).add(values, values)

    def scatter(self) -> dict[str, Tensor]:
        """{block: [C, C]}."""
        return {name: products.scatter() for name, products in self.products.items()}


def apart(
    first: Side, others: Sequence[Side], experiment: Experiment, wanted: Wanted, log: Log
) -> list[dict[str, Any]]:
    """Each of the others held against the first on every set, in one pass over each model, and weight by weight.

    Gives for each the report's `distortion`, `similarity` and `parameters`. Raises RunError where features overflow.
    """
    by_set = {name: on_one_set([first, *others], name, experiment, wanted, log) for name in experiment.sets}
    found = []
    for i, other in enumerate(others):
        distances = {name: one[i]["distances"] for name, one in by_set.items()}
        subspaces = {name: one[i]["subspace"] for name, one in by_set.items()}
        weights, left_out = parameter_distances(first.model, other.model, heads=first.head and other.head)
        if left_out:
            log.warn(
                "head-left-out", f"{', '.join(left_out)} of {first.name} and {other.name} do not correspond: left out"
            )
        found.append(
            {
                "distortion": {**distances, "ratio": ratios(distances), "subspace": subspaces},
                "similarity": {name: one[i]["similarity"] for name, one in by_set.items()},
                "parameters": weights,
            }
        )
    return found


def of_training(
    before: nn.Module, after: nn.Module, experiment: Experiment, log: Log, *, same_classes: bool
) -> dict[str, Any]:
    """`--measure distortion`: how far a trained model lies from the one that its training started from.

    same_classes: whether the rows of both heads stand for the same classes in the same order.
    """
    start, pick = Side("the start", before, head=same_classes), Side("the pick", after)
    return apart(start, [pick], experiment, Wanted(), log)[0]


def on_one_set(
    sides: Sequence[Side], name: str, experiment: Experiment, wanted: Wanted, log: Log
) -> list[dict[str, Any]]:
    """The same on one set."""
    machine, loader, models = experiment.machine, experiment.sets[name], [side.model for side in sides]
    owns, pairs = [Own() for _ in models], [Pair(wanted) for _ in models[1:]]
    seed = wanted.seed if wanted.unbiased else None  # whole-set figures do not depend on an order, batches do
    for batch in paired_block_outputs(models, loader, machine, log, name, seed=seed):
        outputs = [{block: machine.exact(values) for block, values in one.items()} for one in batch]
        for own, one in zip(owns, outputs, strict=True):
            own.add(one)
        for pair, one in zip(pairs, outputs[1:], strict=True):
            pair.add(outputs[0], one)
    scatters = [own.scatter() for own in owns]
    for side, scatter in zip(sides, scatters, strict=True):
        check_finite(side, scatter, name)
    bases = [principal_directions(one[PENULTIMATE].cpu().numpy(), wanted.k, loader.n) for one in scatters]
    k = min(map(len, bases))
    if k < wanted.k:
        log.warn("subspace-smaller", f"{name}: its features span {k} directions, fewer than --k {wanted.k}; k is {k}")
    found = []
    for pair, scatter, basis in zip(pairs, scatters[1:], bases[1:], strict=True):
        pair.end()
        found.append(
            {
                "distances": {block: one.describe() for block, one in pair.distances.items()},
                "subspace": subspace(bases[0][:k], basis[:k]),
                "similarity": similarity(pair, scatters[0], scatter),
            }
        )
    return found


def check_finite(side: Side, scatter: Mapping[str, Tensor], name: str) -> None:
    """Raises RunError where a model's features are not finite, which finite weights can make."""
    for block, products in scatter.items():
        if not products.isfinite().all():
            raise RunError(
                f"{side.name}: what {block} makes of {name} is not finite.", "give a model that has not diverged"
            )


def subspace(A: np.ndarray, B: np.ndarray) -> dict[str, Any]:
    """`k`, the principal `angles` in degrees, largest first, and `d` between the spans of the rows of two [k, D]."""
    if not len(A):
        return {"k": 0, "d": None, "angles": []}
    angles = principal_angles(A, B)
    return {"k": len(A), "d": subspace_distance(angles), "angles": np.rad2deg(angles).tolist()}


def similarity(pair: Pair, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Any]:
    """CKA of each block with itself; `unbiased` and `matrix` (rows: the first model's blocks) where they are wanted."""
    cka = {
        (a, b): linear_cka(cross.centred(), before[a], after[b]) for (a, b), cross in pair.cross.items()
    }  # by both blocks
    found: dict[str, Any] = {name: cka[name, name] for name in before}
    if pair.wanted.unbiased:
        found["unbiased"] = {name: one.value for name, one in pair.unbiased.items()}
    if pair.wanted.matrix:
        found["matrix"] = {"rows": list(before), "columns": list(after), "values": [
            [cka[a, b] for b in after] for a in before
        ]}  # fmt: skip
    return found


def ratios(by_set: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float | None]]:
    """Mean distance in distribution over that on each OOD set, by block; None where the latter is 0.

    In distribution is ID-test, else ID-val; without either there is no ratio.
    """
    reference = next((name for name in ("id_test", "id_val") if name in by_set), None)
    if reference is None:
        return {}
    inside = by_set[reference]
    return {
        name: {block: inside[block]["mean"] / one["mean"] if one["mean"] else None for block, one in found.items()}
        for name, found in by_set.items()
        if name not in ("id_test", "id_val")
    }
