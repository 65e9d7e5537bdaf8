"""What the added tables are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ftcli.studies.cells import Cell
from ftcli.studies.joining import Comparison


@dataclass(frozen=True)
class Material:
    """A study as its tables see it.

    cells: all of them. comparisons: by name. not_here: why the data of a benchmark cannot be used, by its name.
    checkpoints: what they are called, in the order typed.
    """

    cells: Sequence[Cell]
    comparisons: Mapping[str, Comparison]
    not_here: Mapping[str, str]
    checkpoints: Sequence[str] = ()

    def by_checkpoint(self) -> list[Comparison]:
        """The comparisons of several checkpoints, benchmark by benchmark, the checkpoints in the order typed."""
        several = [one for one in self.comparisons.values() if one.checkpoint]
        known = dict.fromkeys([*self.checkpoints, *(one.checkpoint for one in several)])
        places = {name: place for place, name in enumerate(known)}
        benchmarks = dict.fromkeys(one.benchmark for one in several)
        return [
            one
            for benchmark in benchmarks
            for one in sorted(several, key=lambda one: places[one.checkpoint])
            if one.benchmark == benchmark
        ]


def mean_by_set(accuracies: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each set over the seeds that all have it."""
    common = [name for name in accuracies[0] if all(name in one for one in accuracies)]
    return {name: fmean(one[name] for one in accuracies) for name in common}
