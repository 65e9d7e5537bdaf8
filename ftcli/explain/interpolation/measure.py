"""The line between two models: loss and accuracy along it, the barrier on it, and averages of several models.

Neyshabur et al. 2020 (arXiv 2008.11687), section 3.3; weight-space ensembles: Wortsman et al. 2022 (arXiv 2109.01903);
soups: Wortsman et al. 2022 (arXiv 2203.05482).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec import UNSET, UnsetType

from ftcli.averages.evaluator import WeightEvaluator, candidate, greedy_members, worth_of
from ftcli.averages.types import Statistics, Worth
from ftcli.engine.select import Candidate, best
from ftcli.errors import RunError
from ftcli.explain.interpolation.types import Barrier, Point, ScaledByDepth, Soup, Soups
from ftcli.model.weights import State, depth_shares, interpolate_weights, mean_weights, scale_by_depth


@dataclass(frozen=True)
class SavableWeights:
    """Some weights that may be saved: a point of the line at `weight` (its λ), a soup, or B scaled by depth at `alpha`.

    `state` makes the weights again; `id_val`: what they are worth there, None without an ID-val set.
    """

    kind: str
    state: Callable[[], State]
    statistics: Statistics
    id_val: Worth | None
    weight: float | UnsetType = UNSET
    alpha: float | UnsetType = UNSET


def points(start: float, stop: float, count: int) -> list[float]:
    """Values of λ, equally spaced, both ends exact; 0 and 1 too, where rounding alone keeps a point from them."""
    spaced = [start + (stop - start) * i / (count - 1) for i in range(count - 1)]
    near = [round(λ) if abs(λ - round(λ)) < 1e-9 else λ for λ in spaced]
    return [*map(float, near), stop]


def evaluate_line(A: State, B: State, weights: Sequence[float], evaluator: WeightEvaluator) -> list[Point]:
    """The weights (1 - λ)·A + λ·B at each λ of `weights`, on every set.

    Raises RunError where the outputs of A or B themselves are not finite.
    """
    line = []
    lost: dict[str, dict[str, None]] = {}  # by set, the λ at which there is no loss
    for weight in weights:
        state = interpolate_weights(A, B, weight)
        point = Point(weight)
        for kind in evaluator.statistics:
            setattr(point, kind, evaluator.worth(state, kind, f"λ = {weight:g}"))
        for name in (name for sets in point.by_statistics().values() for name, of in sets.items() if of.loss is None):
            if weight in (0, 1):
                end = "B" if weight else "A"
                raise RunError(f"the outputs of {end} on {name} are not all finite numbers.", "give a model that works")
            lost.setdefault(name, {})[f"{weight:g}"] = None
        line.append(point)
    for name, where in lost.items():
        evaluator.log.warn(
            "not-finite", f"{name}: outputs are not all finite at λ = {', '.join(where)}: mistakes, and no loss"
        )
    return line


def barriers(line: Sequence[Point]) -> dict[Statistics, dict[str, Barrier]]:
    """By kind of statistics and set, of the points with λ in [0, 1]; empty where the ends, 0 and 1, are not there."""
    inside = {point.weight: point.by_statistics() for point in line if 0 <= point.weight <= 1}
    if not {0.0, 1.0} <= set(inside):
        return {}
    return {
        kind: {name: barrier({λ: point[kind][name].loss for λ, point in inside.items()}) for name in sets}
        for kind, sets in inside[0.0].items()
    }


def barrier(losses: Mapping[float, float | None]) -> Barrier:
    """max over λ of L(λ) - ((1 - λ)L(0) + λL(1)); at the ends that is 0, so it is never below. None where a loss is not
    finite.
    """
    first, last = losses[0.0], losses[1.0]
    if first is None or last is None or None in losses.values():
        return Barrier(None, None)
    above = {λ: loss - ((1 - λ) * first + λ * last) for λ, loss in losses.items() if loss is not None}
    highest = max(above, key=lambda λ: above[λ])
    return Barrier(max(0.0, above[highest]), highest)


def soups(
    members: Mapping[str, State], evaluator: WeightEvaluator
) -> tuple[dict[Statistics, Soups], list[SavableWeights]]:
    """The report's `soups`, and what may be saved of them: the uniform one, and with ID-val the greedy one."""
    described: dict[Statistics, Soups] = {}
    averages = []

    def soup(names: list[str], kind: Statistics, label: str) -> Soup:
        state = partial(mean_weights, [members[name] for name in names])
        sets = evaluator.worth(state(), kind, label)
        averages.append(SavableWeights(label, state, kind, sets.get("id_val")))
        return Soup(names, sets)

    def judge(kind: Statistics, names: list[str]) -> Candidate:
        return candidate(mean_weights([members[name] for name in names]), kind, f"with {names[-1]}", evaluator)

    for kind in evaluator.statistics:
        if "id_val" not in evaluator.inputs.sets:
            described[kind] = Soups(uniform=soup([*members], kind, "uniform soup"))
            continue
        alone = {name: candidate(state, kind, name, evaluator) for name, state in members.items()}
        greedy = greedy_members(alone, partial(judge, kind))
        described[kind] = Soups(
            members={name: worth_of(of) for name, of in alone.items()},
            uniform=soup([*members], kind, "uniform soup"),
            greedy=soup(greedy, kind, "greedy soup"),
        )
    return described, averages


def scaled_by_depth(
    A: State, B: State, strengths: Sequence[float], evaluator: WeightEvaluator
) -> tuple[list[ScaledByDepth], list[SavableWeights]]:
    """The way from A to B, scaled by depth, at every α of `strengths`; and what may be saved of it."""
    described, averages = [], []
    for strength in strengths:
        state = partial(scale_by_depth, A, B, depth_shares(evaluator.model, strength))
        found = ScaledByDepth(strength)
        for kind in evaluator.statistics:
            sets = evaluator.worth(state(), kind, f"α = {strength:g}")
            setattr(found, kind, sets)
            averages.append(SavableWeights("scaled by depth", state, kind, sets.get("id_val"), alpha=strength))
        described.append(found)
    return described, averages


def savable_points(A: State, B: State, line: Sequence[Point]) -> list[SavableWeights]:
    """Every point as something that may be saved."""
    return [
        SavableWeights(
            "point", partial(interpolate_weights, A, B, point.weight), kind, sets.get("id_val"), point.weight
        )
        for point in line
        for kind, sets in point.by_statistics().items()
    ]


def best_of(averages: Sequence[SavableWeights]) -> SavableWeights | None:
    """The best by ID-val: accuracy, then loss, then the earlier in the list; None without ID-val."""
    candidates = [
        Candidate(0, average.id_val.accuracy, average.id_val.loss, epoch=i)
        for i, average in enumerate(averages)
        if average.id_val is not None and average.id_val.loss is not None
    ]
    return averages[best(candidates).epoch or 0] if candidates else None
