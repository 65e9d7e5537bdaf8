"""The pick among many values of C, without solving all of them finely.

1. The nodes are solved roughly and the others interpolated; every C is evaluated once, which proves how far it is.
2. The next step of the search tells how far a solution may still move, and so between what numbers its correct
   examples and its loss on ID-val lie (validation.py). Most values of C cannot be the pick any more.
3. The others are searched on together until the number of their correct examples is known, and then, where several
   have the most, until one has certainly the least loss. Each leaves as soon as another is certainly better.
4. The pick and its neighbours are solved to `FINE`.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ftcli.engine.probe.lbfgs import Watch, minimise
from ftcli.engine.probe.logistic_loss import Points
from ftcli.engine.probe.path_solver import FINE, PathSolver
from ftcli.engine.probe.validation import Bounds, Validation
from ftcli.log import Log


def solve_pick(solver: PathSolver, validation: Validation, log: Log) -> tuple[set[int], Bounds]:
    """Solve the pick and its neighbours finely, the others as far as is needed to know that they are not picked.

    Returns the indices of the values of C that are solved finely, of which the pick is one, and what was seen of all of
    them on the set.
    """
    search = _PickSearch(solver, validation)
    for _ in log.track(search.survey(), "values of C", len(solver.logs)):
        pass
    for _ in log.track(search.race(), "selection of C"):
        pass
    return search.fine, search.bounds


class _PickSearch:
    """What is known of the values of C on ID-val: `bounds` [len(Cs)], and which of them are solved finely."""

    def __init__(self, solver: PathSolver, validation: Validation) -> None:
        self.solver, self.validation = solver, validation
        self.bounds = Bounds.unknown(len(solver.logs), solver.x.device)
        self.fine: set[int] = set()

    def possible(self) -> set[int]:
        """The values of C that may be the pick."""
        return set(self.bounds.may_be_best().nonzero()[:, 0].tolist())

    def uncertain(self) -> set[int]:
        """Those of them whose correct examples are not counted for certain."""
        return set((self.bounds.may_be_best() & self.bounds.uncertain()).nonzero()[:, 0].tolist())

    def neighbours(self) -> set[int]:
        """These and their neighbours."""
        near = {j for i in self.possible() for j in (i - 1, i, i + 1)}
        return near & set(range(len(self.solver.logs)))

    def survey(self) -> Iterator[int]:
        """Evaluate every C once; yields its index."""
        solver, nodes = self.solver, []
        for i, found in solver.solve_nodes():
            self._judge([i], found.x, found.direction)
            nodes.append(i)
            yield i
        for group in solver.groups([i for i in range(len(solver.logs)) if i not in nodes]):
            for i in group:
                solver.interpolate(i, nodes)
            penalties = solver.penalties[group]
            points = solver.problem.at_or_prior(solver.x[group], penalties)
            solver.x[group] = points.x
            solver.gaps[group] = solver.problem.gaps(points, penalties)[0] / points.objective
            self._judge(group, points.x, -solver.problem.inverse_curvature(points, penalties) * points.gradient)
            yield from group

    def race(self) -> Iterator[None]:
        """Solve the pick and its neighbours finely; yields after each part."""
        for members in (self.uncertain, self.possible):
            while unsolved := members() - self.fine:
                self.improve(unsolved, members)
                yield
        while neighbours := self.neighbours() - self.fine:
            self.improve(neighbours)
            yield

    def improve(self, members: set[int], go_on: Callable[[], set[int]] | None = None) -> None:
        """Search on for some of the members, the most promising, until `FINE` or while they are among `go_on()`."""
        solver = self.solver
        group = next(solver.groups(sorted(members, key=lambda i: -float(self.bounds.most_correct[i]))))
        watch = go_on and self._watch(group, go_on)
        found = minimise(solver.problem, solver.x[group], solver.penalties[group], FINE, watch)
        solver.x[group], solver.gaps[group] = found.x, found.gap
        self._judge(group, found.x, found.direction)
        remaining = go_on() if go_on else set(group)
        for i, reached, direction in zip(group, found.reached.tolist(), found.direction, strict=True):
            if reached or i in remaining:
                solver.finish(i, reached)
                self.fine.add(i)
                self._judge([i], solver.x[[i]], direction[None])

    def _watch(self, group: Sequence[int], go_on: Callable[[], set[int]]) -> Watch:
        """A watch that judges the members of a group and keeps those among `go_on()`."""

        def stay(members: Tensor, points: Points, direction: Tensor) -> Tensor:
            watched = [group[member] for member in members.tolist()]
            self._judge(watched, points.x, direction)
            remaining = go_on()
            return torch.tensor([i in remaining for i in watched], device=members.device)

        return stay

    def _judge(self, members: Sequence[int], x: Tensor, direction: Tensor) -> None:
        self.bounds.update(members, self.validation.bounds(x, direction))
