"""A network that takes one set of weights after another, and what each is worth on the sets of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

from torch import nn

from ftcli.averages.types import Statistics, Worth
from ftcli.engine.batchnorm import reestimate
from ftcli.engine.evaluate import figures_on
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.probe.regularization_path import DEFAULT_CS
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate
from ftcli.log import Log
from ftcli.methods.probe import fit_head
from ftcli.model.weights import State

BySet = dict[str, Worth]  # by the name of the set


@dataclass(frozen=True)
class WeightEvaluator:
    """A network that takes one set of weights after another, and measures each on every set.

    `statistics`: the kinds of BatchNorm statistics to measure with: "raw", as the weights bring them, and "reestimated"
    on the training set. `probed`: the head is fitted to the features of each set of weights.
    """

    model: nn.Module
    inputs: RunInputs
    statistics: Sequence[Statistics]
    probed: bool
    seed: int
    log: Log

    def load(self, state: State, statistics: Statistics, label: str) -> None:
        """Give the network these weights."""
        self.model.load_state_dict(dict(state))
        if statistics == "reestimated":
            assert self.inputs.plain is not None
            reestimate(self.model, self.inputs.plain, self.inputs.machine, self.seed, self.log, f"{label}, BatchNorm")
        if self.probed:
            uncached = replace(self.inputs, feature_cache=FeatureCache(self.inputs.machine, None))
            fit_head(self.model, uncached, DEFAULT_CS, self.seed, self.log)

    def worth(self, state: State, statistics: Statistics, label: str, sets: Sequence[str] | None = None) -> BySet:
        """Accuracy and loss of some weights on each set with labels; `label`: what bars call the weights."""
        self.load(state, statistics, label)
        by_set = {}
        for name in self.inputs.task.labelled_sets() if sets is None else sets:
            figures = figures_on(self.model, name, self.inputs, self.log)
            by_set[name] = Worth(figures["accuracy"], figures["loss"] if isfinite(figures["loss"]) else None)
        return by_set


def candidate(state: State, statistics: Statistics, label: str, evaluator: WeightEvaluator) -> Candidate:
    """Some weights, judged on ID-val as runs are."""
    worth = evaluator.worth(state, statistics, label, ["id_val"])["id_val"]
    return Candidate(0, worth.accuracy, inf if worth.loss is None else worth.loss, epoch=0)


def worth_of(candidate: Candidate) -> Worth:
    """What a candidate is worth on ID-val."""
    return Worth(candidate.accuracy, candidate.loss if isfinite(candidate.loss) else None)


def greedy_members(alone: Mapping[str, Candidate], judge: Callable[[list[str]], Candidate]) -> list[str]:
    """Names of the members of the greedy soup (Wortsman et al. 2022, arXiv 2203.05482, algorithm 1).

    From the best member by ID-val on, each next one stays in the mean if ID-val accuracy does not fall. alone: each
    member by itself. judge: the mean of some members.
    """
    order = sorted(alone, key=lambda name: alone[name].sort_key())
    stay, reached = order[:1], alone[order[0]].accuracy
    for name in order[1:]:
        tried = judge([*stay, name])
        if tried.accuracy >= reached:
            stay, reached = [*stay, name], tried.accuracy
    return stay
