"""A plan: which tensors move in which epoch, at which share of the rate, and what holds them near their start."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ftcli.engine.gradient_scores import Scoring


@dataclass(frozen=True)
class Plan:
    """What a method asks of the loop, besides the options of the command.

    `moves` gives the names of the tensors that move in an epoch, counted from 1; `factors` a tensor's share of the
    rate, 1 where it is not named; `held` the tensors that the penalties l2 · ‖θ - θ⁰‖² and l1 · ‖θ - θ⁰‖₁ pull back to
    where they stood when the run began; `scoring` what their gradients say at the beginning of every epoch: each tensor
    that would move then does so at its share of the rate, or not at all.
    """

    moves: Callable[[int], Collection[str]]
    factors: Mapping[str, float] = field(default_factory=dict)
    held: Collection[str] = ()
    l2: float = 0.0
    l1: float = 0.0
    scoring: Scoring | None = None

    def ever(self, epochs: int) -> set[str]:
        """Everything that moves in one of so many epochs."""
        return {name for epoch in range(1, epochs + 1) for name in self.moves(epoch)}


def always(tensors: Collection[str]) -> Plan:
    """The same tensors from the first epoch to the last, all at the full rate."""
    return Plan(lambda epoch: tensors)
