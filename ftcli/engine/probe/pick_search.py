"""The pick among many values of C, without solving all of them finely.

1. The nodes are solved roughly and the others interpolated; every C is evaluated once, which proves how far it is.
2. The next step of the search tells how far a solution may still move, and so between what numbers its correct
   examples and its loss on ID-val lie (validation.py). Most values of C cannot be the pick any more.
3. The others are searched on together. Each leaves as soon as another is certainly better.
4. The pick and its neighbours are solved to `FINE`.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from ftcli.engine.probe.lbfgs import Watch, minimise
from ftcli.engine.probe.logistic_loss import Points
from ftcli.engine.probe.path_solver import FINE, PathSolver
from ftcli.engine.probe.validation import Bounds, Validation


def solve_pick(solver: PathSolver, validation: Validation) -> set[int]:
    """Solve the pick and its neighbours finely, the others as far as is needed to know that they are not picked.

    Returns the indices of the values of C that are solved finely; the pick is one of them.
    """
    search = _PickSearch(solver, validation)
    search.survey()
    while unsolved := search.possible() - search.fine:
        search.improve(unsolved, search.still_possible)
    while neighbours := search.neighbours() - search.fine:
        search.improve(neighbours, None)
    return search.fine


class _PickSearch:
    """What is known of the values of C on ID-val: `bounds` [len(Cs)], and which of them are solved finely."""

    def __init__(self, solver: PathSolver, validation: Validation) -> None:
        self.solver, self.validation = solver, validation
        self.bounds = Bounds.unknown(len(solver.logs), solver.x.device)
        self.fine: set[int] = set()

    def possible(self) -> set[int]:
        """The values of C that may be the pick."""
        return set(self.bounds.may_be_best().nonzero()[:, 0].tolist())

    def neighbours(self) -> set[int]:
        """These and their neighbours."""
        near = {j for i in self.possible() for j in (i - 1, i, i + 1)}
        return near & set(range(len(self.solver.logs)))

    def survey(self) -> None:
        """Evaluate every C once."""
        solver, nodes = self.solver, []
        for i, found in solver.solve_nodes():
            self._judge([i], found.x, found.direction)
            nodes.append(i)
        for group in solver.groups([i for i in range(len(solver.logs)) if i not in nodes]):
            for i in group:
                solver.interpolate(i, nodes)
            penalties = solver.penalties[group]
            points = solver.problem.at_or_prior(solver.x[group], penalties)
            solver.x[group] = points.x
            solver.gaps[group] = solver.problem.gaps(points, penalties)[0] / points.objective
            self._judge(group, points.x, -solver.problem.inverse_curvature(points, penalties) * points.gradient)

    def improve(self, members: set[int], watch: Callable[[Sequence[int]], Watch] | None) -> None:
        """Search on for some of the members, the most promising, until `FINE` or until the watch lets them go."""
        solver = self.solver
        group = next(solver.groups(sorted(members, key=lambda i: -float(self.bounds.most_correct[i]))))
        found = minimise(solver.problem, solver.x[group], solver.penalties[group], FINE, watch and watch(group))
        solver.x[group], solver.gaps[group] = found.x, found.gap
        self._judge(group, found.x, found.direction)
        possible = self.possible()
        for i, reached, direction in zip(group, found.reached.tolist(), found.direction, strict=True):
            if reached or watch is None or i in possible:
                solver.finish(i, reached)
                self.fine.add(i)
                self._judge([i], solver.x[[i]], direction[None])

    def still_possible(self, group: Sequence[int]) -> Watch:
        """A watch that lets a member of the group go where another C is certainly better."""

        def stay(members: Tensor, points: Points, direction: Tensor) -> Tensor:
            watched = [group[member] for member in members.tolist()]
            self._judge(watched, points.x, direction)
            return self.bounds.may_be_best()[watched]

        return stay

    def _judge(self, members: Sequence[int], x: Tensor, direction: Tensor) -> None:
        self.bounds.update(members, self.validation.bounds(x, direction))
