"""The line between two models: loss and accuracy along it, the barrier on it, and averages of several models.

Neyshabur et al. 2020 (arXiv 2008.11687), section 3.3; weight-space ensembles: Wortsman et al. 2022 (arXiv 2109.01903);
soups: Wortsman et al. 2022 (arXiv 2203.05482).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite
from typing import Any

from torch import nn

from ftcli.engine.batchnorm import reestimate
from ftcli.engine.evaluate import figures_on
from ftcli.engine.experiment import Experiment
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.select import Candidate, best
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.methods.probe import fit_head
from ftcli.model.weights import State, interpolate_weights, mean_weights

Figures = dict[str, dict[str, float | None]]  # {SET: {"accuracy", "loss"}}; no loss where it is not finite


@dataclass(frozen=True)
class Averager:
    """A network that takes one set of weights after the other, and says what each is worth on every set.

    `statistics`: "raw", BatchNorm's as the weights bring them, and "reestimated" on the training set. `probed`:
    the head is fitted anew to the features of each set of weights.
    """

    model: nn.Module
    experiment: Experiment
    statistics: Sequence[str]
    probed: bool
    seed: int
    log: Log

    def put(self, state: State, statistics: str, label: str) -> None:
        """Give the network these weights."""
        self.model.load_state_dict(state)
        if statistics == "reestimated":
            assert self.experiment.plain is not None
            reestimate(
                self.model, self.experiment.plain, self.experiment.machine, self.seed, self.log, f"{label}, BatchNorm"
            )
        if self.probed:
            uncached = replace(self.experiment, feature_cache=FeatureCache(self.experiment.machine, None))
            fit_head(self.model, uncached, self.seed, self.log)

    def figures(self, state: State, statistics: str, label: str, sets: Sequence[str] | None = None) -> Figures:
        """Accuracy (a fraction) and mean cross-entropy on each set."""
        self.put(state, statistics, label)
        names = self.experiment.sets if sets is None else sets
        found = {name: figures_on(self.model, name, self.experiment, self.log) for name in names}
        return {
            name: {"accuracy": one["accuracy"], "loss": one["loss"] if isfinite(one["loss"]) else None}
            for name, one in found.items()
        }


@dataclass(frozen=True)
class Average:
    """Some weights that may be saved: what they are, how to make them again, and what they are worth on ID-val."""

    made: dict[str, Any]
    state: Callable[[], State]
    statistics: str
    id_val: dict[str, float | None] | None


def points(start: float, stop: float, count: int) -> list[float]:
    """Values of λ, equally spaced, both ends exact; 0 and 1 too, where rounding alone keeps a point from them."""
    spaced = [start + (stop - start) * i / (count - 1) for i in range(count - 1)]
    near = [round(λ) if abs(λ - round(λ)) < 1e-9 else λ for λ in spaced]
    return [*map(float, near), stop]


def along(A: State, B: State, weights: Sequence[float], averager: Averager) -> list[dict[str, Any]]:
    """The report's `points`: `lambda`, and for each kind of statistics the figures on every set.

    Raises RunError where the outputs of A or B themselves are not finite.
    """
    found = []
    lost: dict[str, dict[str, None]] = {}  # by set, the λ at which there is no loss
    for weight in weights:
        state = interpolate_weights(A, B, weight)
        label = f"λ = {weight:g}"
        figures = {kind: averager.figures(state, kind, label) for kind in averager.statistics}
        for name in (name for one in figures.values() for name, entry in one.items() if entry["loss"] is None):
            if weight in (0, 1):
                end = "B" if weight else "A"
                raise RunError(f"the outputs of {end} on {name} are not all finite numbers.", "give a model that works")
            lost.setdefault(name, {})[f"{weight:g}"] = None
        found.append({"lambda": weight} | figures)
    for name, where in lost.items():
        averager.log.warn(
            "not-finite", f"{name}: outputs are not all finite at λ = {', '.join(where)}: mistakes, and no loss"
        )
    return found


def barriers(found: Sequence[Mapping[str, Any]], statistics: Sequence[str]) -> dict[str, Any]:
    """{statistics: {SET: {"loss": the barrier in nats, "lambda": where}}}, of the points with λ in [0, 1].

    None for each where the ends themselves, 0 and 1, are not among the points.
    """
    inside = {one["lambda"]: one for one in found if 0 <= one["lambda"] <= 1}
    if not {0.0, 1.0} <= set(inside):
        return {}
    return {
        kind: {name: barrier({λ: one[kind][name]["loss"] for λ, one in inside.items()}) for name in inside[0.0][kind]}
        for kind in statistics
    }


def barrier(losses: Mapping[float, float | None]) -> dict[str, float | None]:
    """max over λ of L(λ) - ((1 - λ)L(0) + λL(1)), and the λ; at the ends that is 0, so it is never below. None where a
    loss is not finite.
    """
    first, last = losses[0.0], losses[1.0]
    if first is None or last is None or None in losses.values():
        return {"loss": None, "lambda": None}
    above = {λ: loss - ((1 - λ) * first + λ * last) for λ, loss in losses.items() if loss is not None}
    highest = max(above, key=lambda λ: above[λ])
    return {"loss": max(0.0, above[highest]), "lambda": highest}


def soups(members: Mapping[str, State], averager: Averager) -> tuple[dict[str, Any], list[Average]]:
    """The report's `soups`, and what of them may be saved: the uniform one, and the greedy one where ID-val is there.

    Greedy (algorithm 1 there): from the best member by ID-val on, each next one stays in the mean if ID-val accuracy
    does not fall.
    """
    described: dict[str, Any] = {}
    kept = []
    for kind in averager.statistics:
        described[kind] = {}
        found = {"uniform soup": list(members)}
        if "id_val" in averager.experiment.sets:
            alone = {name: worth(state, kind, name, averager) for name, state in members.items()}
            described[kind]["members"] = {
                name: {"accuracy": one.accuracy, "loss": one.loss} for name, one in alone.items()
            }
            found["greedy soup"] = greedy(members, alone, kind, averager)
        for name, stays in found.items():
            state = partial(mean_weights, [members[one] for one in stays])
            sets = averager.figures(state(), kind, name)
            described[kind][name.split()[0]] = {"members": stays, "sets": sets}
            kept.append(Average({"kind": name}, state, kind, sets.get("id_val")))
    return described, kept


def greedy(members: Mapping[str, State], alone: Mapping[str, Candidate], kind: str, averager: Averager) -> list[str]:
    """Names of the members that stay in the greedy soup. `alone`: each member with the same kind of statistics."""
    order = sorted(members, key=lambda name: alone[name].merit())
    stays, reached = order[:1], alone[order[0]].accuracy
    for name in order[1:]:
        tried = worth(mean_weights([members[one] for one in [*stays, name]]), kind, f"with {name}", averager)
        if tried.accuracy >= reached:
            stays, reached = [*stays, name], tried.accuracy
    return stays


def worth(state: State, kind: str, label: str, averager: Averager) -> Candidate:
    """What some weights are worth on ID-val."""
    found = averager.figures(state, kind, label, ["id_val"])["id_val"]
    return Candidate(0, found["accuracy"] or 0.0, inf if found["loss"] is None else found["loss"], epoch=0)


def of_the_line(A: State, B: State, found: Sequence[Mapping[str, Any]], statistics: Sequence[str]) -> list[Average]:
    """Every point as something that may be saved."""

    def average(weight: float, kind: str, figures: Figures) -> Average:
        made = {"kind": "point", "lambda": weight}
        return Average(made, lambda: interpolate_weights(A, B, weight), kind, figures.get("id_val"))

    return [average(one["lambda"], kind, one[kind]) for one in found for kind in statistics]


def best_of(averages: Sequence[Average]) -> Average | None:
    """The best by ID-val: accuracy, then loss, then the earlier in the list; None without ID-val."""
    candidates = [
        Candidate(0, one.id_val["accuracy"] or 0.0, one.id_val["loss"], epoch=place)
        for place, one in enumerate(averages)
        if one.id_val is not None and one.id_val["loss"] is not None
    ]
    return averages[best(candidates).epoch or 0] if candidates else None
