"""Feature distortion: how far each block's features moved, how alike they stayed, how their subspaces turned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from msgspec import UNSET
from torch import Tensor, nn

from ftcli.engine.run_inputs import RunInputs
from ftcli.errors import RunError
from ftcli.explain.distortion.distances import Distances
from ftcli.explain.distortion.moments import FixedBatches, Products
from ftcli.explain.distortion.paired_outputs import paired_block_outputs
from ftcli.explain.distortion.similarity import HSIC_BATCH, UnbiasedCKA, linear_cka
from ftcli.explain.distortion.subspaces import principal_angles, principal_directions, subspace_distance
from ftcli.explain.distortion.types import (
    Distortion,
    FeatureDistance,
    Matrix,
    ModelDistance,
    ParameterDistance,
    Similarity,
    Subspace,
)
from ftcli.log import Log
from ftcli.model.names import PENULTIMATE
from ftcli.model.weights import parameter_distances
from ftcli.records import decoded

Outputs = Mapping[str, Tensor]  # {block: [b, C]}, float64


@dataclass(frozen=True)
class Extras:
    """What is computed besides distances and CKA of each block with itself.

    k: directions of the subspaces; matrix: CKA of all pairs of blocks; unbiased: CKA by batches, drawn with `seed`.
    """

    k: int = 16
    matrix: bool = False
    unbiased: bool = False
    seed: int = 0


@dataclass(frozen=True)
class NamedModel:
    """A model and what warnings call it. `head`: whether it has a head of the same classes in the same order as that of
    the first model; zeros in the place of a head are no weights.
    """

    name: str
    model: nn.Module
    head: bool = True


@dataclass
class PairSums:
    """One model compared with the first on one set. All of it is sums: memory does not grow with the set."""

    extras: Extras
    distances: dict[str, Distances] = field(default_factory=dict)
    cross: dict[tuple[str, str], Products] = field(default_factory=dict)
    unbiased: dict[str, UnbiasedCKA] = field(default_factory=dict)
    batches: dict[str, FixedBatches] = field(default_factory=dict)

    def add(self, before: Outputs, after: Outputs) -> None:
        """One batch of both."""
        for name, values in before.items():
            self.distances.setdefault(name, Distances()).add(values, after[name])
        for names in product(before, after) if self.extras.matrix else zip(before, after, strict=True):
            self.cross.setdefault(names, Products()).add(before[names[0]], after[names[1]])
        if self.extras.unbiased:
            for name, values in before.items():
                for batch in self.batches.setdefault(name, FixedBatches(HSIC_BATCH)).add(values, after[name]):
                    self.unbiased.setdefault(name, UnbiasedCKA()).add(*batch)

    def end(self) -> None:
        """After the last batch."""
        for name, batches in self.batches.items():
            if (rest := batches.rest()) is not None:
                self.unbiased.setdefault(name, UnbiasedCKA()).add(*rest)


@dataclass
class ModelSums:
    """Sums over the features of one model: the products of each block with itself."""

    products: dict[str, Products] = field(default_factory=dict)

    def add(self, outputs: Outputs) -> None:
        """One batch."""
        for name, values in outputs.items():
            self.products.setdefault(name, Products()).add(values, values)

    def scatter(self) -> dict[str, Tensor]:
        """{block: [C, C]}."""
        return {name: products.scatter() for name, products in self.products.items()}


@dataclass(frozen=True)
class SetDistance:
    """One model compared with the first on one set."""

    distances: dict[str, FeatureDistance]  # by block
    subspace: Subspace
    similarity: Similarity


def of_training(
    before: nn.Module, after: nn.Module, inputs: RunInputs, log: Log, *, same_classes: bool
) -> dict[str, object]:
    """`--measure distortion`: how far a trained model lies from the one that its training started from.

    same_classes: whether the rows of both heads stand for the same classes in the same order.
    """
    start, pick = NamedModel("the start", before, head=same_classes), NamedModel("the pick", after)
    return dict(compare_models(start, [pick], inputs, Extras(), log)[0].items())


def compare_models(
    first: NamedModel, others: Sequence[NamedModel], inputs: RunInputs, extras: Extras, log: Log
) -> list[ModelDistance]:
    """Each of the others compared with the first on every set, in one pass over each model, and weight by weight.

    Raises RunError where features overflow.
    """
    by_set = {name: distances_on(name, [first, *others], inputs, extras, log) for name in inputs.sets}
    compared = []
    for i, other in enumerate(others):
        distances = {name: pairs[i].distances for name, pairs in by_set.items()}
        weights, left_out = parameter_distances(first.model, other.model, heads=first.head and other.head)
        if left_out:
            log.warn(
                "head-left-out", f"{', '.join(left_out)} of {first.name} and {other.name} do not correspond: left out"
            )
        subspaces = {name: pairs[i].subspace for name, pairs in by_set.items()}
        compared.append(
            ModelDistance(
                distortion=Distortion(distances, ratios(distances), subspaces),
                similarity={name: pairs[i].similarity for name, pairs in by_set.items()},
                parameters=decoded(weights, dict[str, ParameterDistance]),
            )
        )
    return compared


def distances_on(
    name: str, models: Sequence[NamedModel], inputs: RunInputs, extras: Extras, log: Log
) -> list[SetDistance]:
    """Every model but the first compared with it on the set of this name."""
    machine, loader, networks = inputs.machine, inputs.sets[name], [model.model for model in models]
    sums, pairs = [ModelSums() for _ in models], [PairSums(extras) for _ in models[1:]]
    seed = extras.seed if extras.unbiased else None  # whole-set figures do not depend on an order, batches do
    for batch in paired_block_outputs(networks, loader, machine, log, name, seed=seed):
        outputs = [{block: machine.exact(values) for block, values in of_model.items()} for of_model in batch]
        for of_model, values in zip(sums, outputs, strict=True):
            of_model.add(values)
        for pair, values in zip(pairs, outputs[1:], strict=True):
            pair.add(outputs[0], values)
    scatters = [of_model.scatter() for of_model in sums]
    for model, scatter in zip(models, scatters, strict=True):
        check_finite(model, scatter, name)
    bases = [principal_directions(scatter[PENULTIMATE].cpu().numpy(), extras.k, loader.n) for scatter in scatters]
    k = min(map(len, bases))
    if k < extras.k:
        log.warn("subspace-smaller", f"{name}: its features span {k} directions, fewer than --k {extras.k}; k is {k}")
    compared = []
    for pair, scatter, basis in zip(pairs, scatters[1:], bases[1:], strict=True):
        pair.end()
        distances = {block: of_block.means() for block, of_block in pair.distances.items()}
        likeness = similarity(pair, scatters[0], scatter)
        compared.append(SetDistance(distances, subspace(bases[0][:k], basis[:k]), likeness))
    return compared


def check_finite(model: NamedModel, scatter: Mapping[str, Tensor], name: str) -> None:
    """Raises RunError where a model's features on a set are not finite, which finite weights can make."""
    for block, products in scatter.items():
        if not products.isfinite().all():
            raise RunError(
                f"{model.name}: what {block} makes of {name} is not finite.", "give a model that has not diverged"
            )


def subspace(A: np.ndarray, B: np.ndarray) -> Subspace:
    """The spans of the rows of A and B, both [k, D]."""
    if not len(A):
        return Subspace(0, None, [])
    angles = principal_angles(A, B)
    return Subspace(len(A), subspace_distance(angles), np.rad2deg(angles).tolist())


def similarity(pair: PairSums, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Similarity:
    """CKA by block, from the products {block: [C, C]} of the features of either model. Rows of the matrix: the first
    model's blocks.
    """
    cka = {(a, b): linear_cka(cross.centred(), before[a], after[b]) for (a, b), cross in pair.cross.items()}
    unbiased, matrix = pair.extras.unbiased, pair.extras.matrix
    return Similarity(
        {name: cka[name, name] for name in before},
        unbiased={name: estimate.value for name, estimate in pair.unbiased.items()} if unbiased else UNSET,
        matrix=Matrix([*before], [*after], [[cka[a, b] for b in after] for a in before]) if matrix else UNSET,
    )


def ratios(by_set: Mapping[str, Mapping[str, FeatureDistance]]) -> dict[str, dict[str, float | None]]:
    """Mean distance in distribution over that on each OOD set, by block; None where the latter is 0.

    In distribution is ID-test, else ID-val; without either there is no ratio.
    """
    reference = next((name for name in ("id_test", "id_val") if name in by_set), None)
    if reference is None:
        return {}
    inside = by_set[reference]
    return {
        name: {block: inside[block].mean / far.mean if far.mean else None for block, far in blocks.items()}
        for name, blocks in by_set.items()
        if name not in ("id_test", "id_val")
    }
