"""The solutions of a linear probe for many values of C, each from what the others tell about it."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.engine.probe.curvature_pairs import MEMORY
from ftcli.engine.probe.lbfgs import Found, Goal, minimise
from ftcli.engine.probe.logistic_loss import Problem

# fractions of F: see Goal
ROUGH = Goal(gap=1e-3, gap_if_near=1.0, decrement=1e-6, gap_if_settled=1.0, progress=0.0, weights_decrement=1e-3)
FINE = Goal(gap=1e-8, gap_if_near=1e-5, decrement=1e-9, gap_if_settled=1e-3, progress=2e-8, weights_decrement=1e-6)
NODE_DISTANCE = 0.9  # between the values of log C that are solved first, the nodes
CHAIN = 2  # solutions from which the next of the first is extrapolated
NODES = 8  # solutions between which the others are interpolated
GROUP_BYTES = 1 << 27  # memory for the values of C that are solved together: larger groups leave the processor's cache
FILE_GROUP_BYTES = 1 << 30  # the same where the features are read from a file at every evaluation


class PathSolver:
    """The solutions x [len(Cs), K, R + 1] as they become known, in the coordinates of `problem`.

    gaps [len(Cs)] float64: how far each is proven, infinite where nothing is known. nodes: indices of the values of C
    that are solved first, at most `NODE_DISTANCE` apart in log C where the list allows that. middles: the others in
    lists: halfway between nodes, halfway between those known then, and so on.
    """

    def __init__(self, features: FeatureMatrix, labels: Tensor, K: int, Cs: Sequence[float]) -> None:
        self.inputs = (features, labels, K)
        self.problem = Problem(*self.inputs)
        self.exact: Problem | None = None  # in float64, once it is needed
        self.logs = [math.log(C) for C in Cs]
        widest = max((b - a for a, b in pairwise(self.logs)), default=NODE_DISTANCE)
        self.nodes, *self.middles = levels(len(Cs), 1 << max(0, int(math.log2(NODE_DISTANCE / widest))))
        self.penalties = torch.tensor([1 / C for C in Cs], dtype=torch.float64, device=features.device)
        self.x = torch.zeros(len(Cs), K, len(self.problem.w) + 1, device=features.device)
        self.gaps = torch.full_like(self.penalties, math.inf)
        share = self.problem.counts / self.problem.N
        self.curvature = float((share * (1 - share)).max() * self.problem.w.max()) if len(self.problem.w) else 1.0

    def solve(self) -> None:
        """Solve every C to `FINE`: the nodes in turn and then together, the others between the solutions known."""
        for _ in self.solve_nodes():
            pass
        self.improve(self.nodes)
        known = self.nodes
        for middles in self.middles:
            for i in middles:
                self.interpolate(i, known)
            self.improve(middles)
            known = known + middles

    def solve_nodes(self) -> Iterator[tuple[int, Found]]:
        """Solve the nodes to `ROUGH`, one after the other, each from an extrapolation of those before it."""
        nodes = self.nodes
        self.x[nodes[0]] = self.problem.prior
        for position, i in enumerate(nodes):
            if position:
                self._start(i, nodes[max(0, position - CHAIN) : position])
            found = minimise(self.problem, self.x[[i]], self.penalties[[i]], ROUGH)
            self.x[i], self.gaps[i] = found.x[0], found.gap[0]
            yield i, found

    def interpolate(self, i: int, known: Sequence[int]) -> None:
        """Set x[i] from the nearest known solutions."""
        self._start(i, sorted(known, key=lambda j: abs(self.logs[j] - self.logs[i]))[:NODES])

    def _start(self, i: int, known: Sequence[int]) -> None:
        """Set x[i] to a polynomial in log C through known solutions less the prior, divided by their `_shrinkage`."""
        factors = lagrange([self.logs[j] for j in known], self.logs[i])
        factors = [factor * self._shrinkage(i) / self._shrinkage(j) for factor, j in zip(factors, known, strict=True)]
        self.x[i] = 0.0
        for factor, j in zip(factors, known, strict=True):
            self.x[i].add_(self.x[j], alpha=factor)
        self.x[i] += (1 - sum(factors)) * self.problem.prior

    def _shrinkage(self, i: int) -> float:
        """1 / (1 + λ / m w), with the largest curvature m w at the prior.

        Under penalties λ much stronger than that, the distance of a solution from the prior is proportional to it.
        """
        return 1 / (1 + float(self.penalties[i]) / self.curvature)

    def improve(self, members: Sequence[int]) -> None:
        """Solve some values of C to `FINE`."""
        for group in self.groups(members):
            found = minimise(self.problem, self.x[group], self.penalties[group], FINE)
            self.x[group], self.gaps[group] = found.x, found.gap
            for i, reached in zip(group, found.reached.tolist(), strict=True):
                self.finish(i, reached)

    def finish(self, i: int, reached: bool) -> None:
        """Search on for one C in float64 where float32 has not reached `FINE`, and correct its bias."""
        self.x[i, :, -1] = self.problem.best_bias(self.x[i]).to(self.x.dtype)
        if not reached:
            self._improve_exactly(i)

    def groups(self, members: Sequence[int]) -> Iterator[list[int]]:
        """As many values of C together as the memory for a group allows."""
        member = self.x[0].numel() * self.x.element_size() * (2 * MEMORY + 20)  # the pairs, and vectors on the way
        in_memory = isinstance(self.inputs[0].source, Tensor)
        size = max(1, (GROUP_BYTES if in_memory else FILE_GROUP_BYTES) // max(1, member))
        return (list(members[begin : begin + size]) for begin in range(0, len(members), size))

    def _improve_exactly(self, i: int) -> None:
        """Search on for one C in float64, from where float32 has come."""
        if self.exact is None:
            self.exact = Problem(*self.inputs, dtype=torch.float64)
        W = self.problem.weights(self.x[[i]])  # [1, K, D]
        x = torch.cat([W @ self.exact.V, self.x[[i], :, -1:].double()], dim=2)
        found = minimise(self.exact, x, self.penalties[[i]], FINE)
        W = self.exact.weights(found.x)  # [1, K, D]
        self.x[i] = torch.cat([W @ self.problem.V.double(), found.x[:, :, -1:]], dim=2)[0].float()
        self.gaps[i] = found.gap[0]


def levels(count: int, stride: int) -> list[list[int]]:
    """Indices 0 … count - 1, every one once: each `stride`th and the last, then the middles between them, and so on.

    stride: a power of two.
    """
    steps = [stride >> i for i in range(stride.bit_length())]
    first = sorted({*range(0, count, stride), count - 1})
    return [first, *(level for step in steps[1:] if (level := list(range(step, count - 1, 2 * step))))]


def lagrange(nodes: Sequence[float], at: float) -> list[float]:
    """Factors of the polynomial through values at `nodes`, evaluated at `at`."""
    return [math.prod((at - other) / (node - other) for other in nodes if other != node) for node in nodes]
