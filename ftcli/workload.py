"""How much a command has to do, in batches: what progress, and the time that is left, are counted by."""

from collections.abc import Mapping
from dataclasses import dataclass

# Kinds of loops over batches whose time is measured.
STEP = "step"  # of the training loop, or of test-time adaptation
EPOCH_PASS = "epoch pass"  # of the sets that are evaluated after every epoch
PREFIX = "frozen part"  # of the part of a network that is the same in every epoch, over a set
PASS = "pass"  # of the whole network over a set: features and evaluations
CELL = "cell"  # of a grid: one pass over a set with other weights

BACKWARD = 2.0  # cost of a backward pass, where a forward pass costs 1
EVALUATION = "evaluation"  # the stage after all runs


@dataclass(frozen=True)
class Loop:
    """One loop over batches. cost: of a batch, where a forward pass of the whole network over one costs 1; it counts
    only until a loop of this kind has been seen.
    """

    count: int
    cost: float


@dataclass(frozen=True)
class SearchWork:
    """Runs that go through the same loops, in every epoch of each, and then `evaluation` batches of full passes."""

    runs: int
    epochs: int
    epoch: Mapping[str, Loop]  # by kind
    evaluation: int = 0
    bounds: tuple[int, int] | None = None  # of the epochs of all runs, where rates may be eliminated
