"""A training plan: which tensors train in which epoch, at which factor of the rate, and which penalties act on them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ftcli.engine.gradient_scores import Scoring
from ftcli.model.low_rank import LowRank


@dataclass(frozen=True)
class Plan:
    """What a method asks of the training loop, besides the options of the command.

    Attributes:
        tensors_in: epoch, counted from 1 -> names of the parameters that train in it.
        factors: a parameter's factor on the rate; 1 where it is not named.
        anchored: parameters under the penalties l2 · ‖θ - θ⁰‖² and l1 · ‖θ - θ⁰‖₁, θ⁰ being their starting values.
        scoring: gradient scores at the beginning of every epoch: each parameter that would train does so at its score's
            share of the rate, or not at all.
        mixup: α of mixup on the training images; None trains on the images themselves.
        project: the projection of every step's result, of the anchored parameters, as "spd:λ" or "ftp:k".
        ldifs: α of the penalty on the change of the blocks' outputs.
        low_rank: the weights that train as W + BA, those of them that train; all others train as they are.
    """

    tensors_in: Callable[[int], Collection[str]]
    factors: Mapping[str, float] = field(default_factory=dict)
    anchored: Collection[str] = ()
    l2: float = 0.0
    l1: float = 0.0
    scoring: Scoring | None = None
    mixup: float | None = None
    project: str | None = None
    ldifs: float = 0.0
    low_rank: LowRank | None = None

    def trainable(self, epochs: int) -> set[str]:
        """Names of the parameters that train in at least one of so many epochs."""
        return {name for epoch in range(1, epochs + 1) for name in self.tensors_in(epoch)}


def always(tensors: Collection[str]) -> Plan:
    """The same tensors from the first epoch to the last, all at the full rate."""
    return Plan(lambda epoch: tensors)
