"""The rules by which a command's own weights are averaged, and how strongly.

WiSE-FT: Wortsman et al. 2022 (arXiv 2109.01903); soups: Wortsman et al. 2022 (arXiv 2203.05482), DiWA: Ramé et al. 2022
(arXiv 2205.09739); Model Stock: Jang et al. 2024 (arXiv 2403.19522); LiNeS: Wang et al. 2024 (arXiv 2410.17146).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean
from typing import Literal

from ftcli.averages.evaluator import WeightEvaluator, candidate, greedy_members, worth_of
from ftcli.averages.members import Kept
from ftcli.averages.types import Rule, StrengthPoint
from ftcli.config.averages.options import LINES, WISE
from ftcli.engine.select import Candidate, best, strongest_within_error
from ftcli.model.blocks import blocks_of
from ftcli.model.weights import (
    State,
    depth_shares,
    interpolate_weights,
    mean_weights,
    scale_by_depth,
    stock_shares,
    stock_weights,
)

LINE = tuple(i / 10 for i in range(11))  # values of λ among which one is picked


@dataclass(frozen=True)
class AveragedWeights:
    """An average, and how its weights are made. Two that compare as equal have the same weights.

    members: indices. own_head: whether the head is a part of the average; else it is a probe of the averaged body.
    """

    rule: Rule
    make: Callable[[], State] = field(compare=False)
    members: tuple[int, ...] = ()
    strength: float | None = None
    own_head: bool = True
    picked: Literal["given", "id_val", "one_se"] | None = field(default=None, compare=False)


@dataclass
class Sources:
    """What averages are made of, and where they are judged.

    start: θ⁰. pick: the weights that ID-val picks. evaluator: of averages that bring their head; it has one kind of
    statistics. own_heads: whether the members of each seed began with a head of their own. paths: ID-val at every
    strength, by rule. shares: of Model Stock, t by tensor.
    """

    start: State
    pick: State
    members: Sequence[Kept]
    evaluator: WeightEvaluator
    own_heads: bool
    paths: dict[str, list[StrengthPoint]] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def judge(self, average: AveragedWeights, label: str) -> Candidate:
        """An average on ID-val."""
        return candidate(average.make(), self.evaluator.statistics[0], label, self.evaluator_of(average))

    def load(self, average: AveragedWeights, label: str) -> None:
        """Give the evaluator's network an average, with the head and the statistics that it is measured with."""
        self.evaluator_of(average).load(average.make(), self.evaluator.statistics[0], label)

    def evaluator_of(self, average: AveragedWeights) -> WeightEvaluator:
        return replace(self.evaluator, probed=not average.own_head)

    def of_members(
        self, rule: Rule, members: Sequence[int], make: Callable[[], State] | None = None
    ) -> AveragedWeights:
        """An average of some members: their mean, unless `make` says otherwise.

        Heads that began differently are not averaged: members of several seeds then have a new one.
        """
        weights = [self.members[i].weights for i in members]
        several = len({self.members[i].member.seed for i in members}) > 1
        return AveragedWeights(
            rule, make or partial(mean_weights, weights), tuple(members), own_head=not (self.own_heads and several)
        )


def wise(sources: Sources) -> dict[str, AveragedWeights | None]:
    """The line from θ⁰ to the pick: at λ = 0.5, at the λ that ID-val picks, at the least within one standard error."""

    def at(weight: float) -> AveragedWeights:
        return AveragedWeights(
            "wise", partial(interpolate_weights, sources.start, sources.pick, weight), strength=weight
        )

    usual, strongest = picks(sources, "wise", LINE, at, "λ")
    half = replace(at(0.5), picked="given")
    return dict(zip(WISE, (half, usual, strongest), strict=True))


def lines(sources: Sources, strengths: Sequence[float]) -> dict[str, AveragedWeights | None]:
    """The pick with the change of each block scaled by its depth; one α is taken as it is, of several one is picked."""

    def at(strength: float) -> AveragedWeights:
        shares = depth_shares(sources.evaluator.model, strength)
        return AveragedWeights("lines", partial(scale_by_depth, sources.start, sources.pick, shares), strength=strength)

    if len(strengths) == 1:
        return {f"lines-{strengths[0]:g}": replace(at(strengths[0]), picked="given")}
    return dict(zip(LINES, picks(sources, "lines", [*strengths, 1.0], at, "α", of_last=True), strict=True))


def picks(
    sources: Sources, rule: Rule, strengths: Sequence[float], at: Callable[[float], AveragedWeights], symbol: str,
    *, of_last: bool = False,
) -> tuple[AveragedWeights, AveragedWeights]:  # fmt: skip
    """The picks on ID-val among strengths, the most regularised first: by the usual and by the one-standard-error rule.

    Of equals the usual rule takes the most regularised. of_last: the standard error is that of the last one.
    """
    tried = [
        replace(sources.judge(at(strength), f"{symbol} = {strength:g}"), epoch=i)
        for i, strength in enumerate(strengths)
    ]
    sources.paths[rule] = [StrengthPoint(strengths[i], worth_of(one)) for i, one in enumerate(tried)]
    id_val = sources.evaluator.inputs.task.id_val
    assert id_val is not None
    usual = best(tried)
    strongest = strongest_within_error(tried, len(id_val), tried[-1].accuracy if of_last else None)
    return (
        replace(at(strengths[usual.epoch or 0]), picked="id_val"),
        replace(at(strengths[strongest.epoch or 0]), picked="one_se"),
    )


def uniform(sources: Sources) -> dict[str, AveragedWeights | None]:
    """The mean of all members."""
    return {"uniform": sources.of_members("uniform", range(len(sources.members))) if enough(sources) else None}


def greedy(sources: Sources) -> dict[str, AveragedWeights | None]:
    """The mean of the members that do not lower ID-val accuracy."""
    if not enough(sources):
        return {"greedy": None}
    statistics = sources.evaluator.statistics[0]
    alone = {str(i): alone_on_id_val(sources, i, statistics) for i in range(len(sources.members))}

    def judge(names: list[str]) -> Candidate:
        return sources.judge(sources.of_members("greedy", [int(name) for name in names]), f"soup of {len(names)}")

    return {"greedy": sources.of_members("greedy", [int(name) for name in greedy_members(alone, judge)])}


def alone_on_id_val(sources: Sources, i: int, statistics: str) -> Candidate:
    """A member alone, with statistics of the same kind as the means that it is compared with."""
    kept = sources.members[i]
    if statistics == "reestimated":
        return candidate(kept.weights, "reestimated", f"member {i + 1}", sources.evaluator)
    return Candidate(0, kept.member.id_val.accuracy, kept.member.id_val.loss, epoch=0)


def stock(sources: Sources) -> dict[str, AveragedWeights | None]:
    """Model Stock of all members and θ⁰."""
    if not enough(sources):
        return {"stock": None}
    states = [one.weights for one in sources.members]
    parameters = {name for name, _ in sources.evaluator.model.named_parameters()}
    sources.shares = stock_shares(sources.start, states, parameters)
    make = partial(stock_weights, sources.start, states, sources.shares)
    return {"stock": sources.of_members("stock", range(len(states)), make)}


def shares_by_block(sources: Sources) -> dict[str, float]:
    """t of Model Stock: of each block the mean over its tensors."""
    body, head = blocks_of(sources.evaluator.model)
    return {block.name: fmean(sources.shares[name] for name in block.tensors) for block in [*body, head]}


def enough(sources: Sources) -> bool:
    return len(sources.members) > 1


BY_RULE: dict[str, Callable[[Sources], dict[str, AveragedWeights | None]]] = {
    "wise": wise, "uniform": uniform, "greedy": greedy, "stock": stock,
}  # fmt: skip
