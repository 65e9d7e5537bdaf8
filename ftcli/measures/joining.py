"""Figures joined: several seeds on one set, several seeds on every set, several OOD sets. Nothing heavy is imported."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ftcli.measures.estimates.types import Estimate, Estimates
from ftcli.measures.intervals import deviation, mean, paper_interval, student, wilson
from ftcli.measures.types import Figures, FiguresBySet, GroupFigures, MeanAccuracy, Unlabelled

Entry = TypeVar("Entry", Figures, MeanAccuracy)
ID_SETS = ("id_val", "id_test")


def over_seeds(runs: Sequence[Entry]) -> Entry:
    """The figures of several seeds on one set joined into one entry; a single run is returned as it is.

    Every number that all runs have becomes its mean. Added: `accuracy_std` (ddof 1), `ci90` (Student's t),
    `ci90_paper` (mean ± 1.645 · std / √n) and `n_seeds`; `accuracy_ci95` is Wilson's interval at the mean accuracy.
    A mean over sets has no such interval and gets none.
    Raises ValueError where there is no run, or the runs saw different numbers of examples.
    """
    if len(runs) == 1:
        return runs[0]
    if len({run.get("n") for run in runs}) != 1:
        raise ValueError("runs over the same number of examples are needed")
    first, accuracies = runs[0], [run.accuracy for run in runs]
    joined: dict[str, Any] = {
        key: mean([run[key] for run in runs])
        for key in first
        if key != "n" and all(isinstance(run.get(key), int | float) for run in runs)
    }
    if isinstance(first, Figures):
        joined |= {"n": first.n, "accuracy_ci95": wilson(joined["accuracy"], first.n)}
        joined["groups"] = mean_of_groups([run.groups for run in runs if isinstance(run, Figures)])
        joined["estimates"] = mean_of_estimates([run.estimates for run in runs if isinstance(run, Figures)])
    return type(first)(
        **joined,
        accuracy_std=deviation(accuracies),
        ci90=student(accuracies),
        ci90_paper=paper_interval(accuracies),
        n_seeds=len(runs),
    )


def mean_of_groups(runs: Sequence[list[GroupFigures] | UnsetType]) -> list[GroupFigures] | UnsetType:
    """Each group with its mean accuracy over runs that saw the same groups."""
    known = [groups for groups in runs if groups is not UNSET]
    if len(known) < len(runs):
        return UNSET
    return [replace(same[0], accuracy=mean([group.accuracy for group in same])) for same in zip(*known, strict=True)]


def mean_of_estimates(runs: Sequence[Estimates | UnsetType]) -> Estimates | UnsetType:
    """Each estimate that all runs have, every number of it as its mean."""
    known = [estimates for estimates in runs if estimates is not UNSET]
    if len(known) < len(runs):
        return UNSET
    return {name: mean_estimate([of[name] for of in known]) for name in known[0] if all(name in of for of in known)}


def mean_estimate(runs: Sequence[Estimate]) -> Estimate:
    """The mean of each number that all runs have."""
    common = [key for key in runs[0] if all(isinstance(run.get(key), float) for run in runs)]
    numbers: dict[str, Any] = {key: mean([run[key] for run in runs]) for key in common}
    return replace(runs[0], **numbers)


def join_unlabelled(by_seed: Sequence[FiguresBySet]) -> dict[str, Unlabelled] | UnsetType:
    """The sets without labels that all seeds have, their estimates joined."""
    sets = [figures.without_labels() for figures in by_seed]
    joined = {
        name: replace(first, estimates=mean_of_estimates([known[name].estimates for known in sets]))
        for name, first in sets[0].items()
        if all(name in known for known in sets)
    }
    return joined or UNSET


def arrange(by_set: Mapping[str, Figures]) -> FiguresBySet:
    """Figures by set in the report's form, with the mean over the OOD sets."""
    ood = {name: entry for name, entry in by_set.items() if name not in ID_SETS}
    mean = MeanAccuracy(fmean(entry.accuracy for entry in ood.values())) if ood else None
    id_val, id_test = (by_set.get(name, UNSET) for name in ID_SETS)
    return FiguresBySet(id_val=id_val, id_test=id_test, ood=ood, ood_mean=mean)


def on_common_sets(by_seed: Sequence[FiguresBySet]) -> list[FiguresBySet]:
    """The figures on the sets that all seeds have, their OOD means over these."""
    sets = [figures.by_set() for figures in by_seed]
    if all(known.keys() == sets[0].keys() for known in sets):
        return list(by_seed)
    common = [name for name in sets[0] if all(name in known for known in sets)]
    return [
        replace(arrange({name: known[name] for name in common}), unlabelled=figures.unlabelled)
        for figures, known in zip(by_seed, sets, strict=True)
    ]


def join_figures(by_seed: Sequence[FiguresBySet]) -> FiguresBySet:
    """The figures of several seeds on the sets that all of them have, each entry joined."""
    by_seed = on_common_sets(by_seed)
    sets = [figures.by_set() for figures in by_seed]
    joined = arrange({name: over_seeds([figures[name] for figures in sets]) for name in sets[0]})
    means = [figures.ood_mean for figures in by_seed if figures.ood_mean]
    return replace(joined, ood_mean=over_seeds(means) if means else None, unlabelled=join_unlabelled(by_seed))
