"""A grid of rates over several seeds: every run is kept in the report, one candidate per seed is picked."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ftcli.config.training import Training
from ftcli.engine.experiment import Experiment
from ftcli.engine.plan import Plan
from ftcli.engine.select import Candidate, best
from ftcli.engine.train import Stage, fit
from ftcli.log import Log


@dataclass(frozen=True)
class Trained:
    """What a method gives back: every run, one pick per seed, and the stages that came before."""

    runs: list[dict[str, Any]]
    picks: list[Candidate]
    before: dict[str, "Trained"] = field(default_factory=dict)
    features_s: float | None = None  # seconds that features of a frozen network took, where there were any
    images: int = 0  # training images that went through the loop
    moved: Collection[str] = ()  # names of the tensors that trained
    frozen: bool = False  # whether the picks' bodies are the very one that the method was given
    scores: list[dict[str, Any]] = field(default_factory=list)  # of each pick's run, by epoch
    seconds: float = 0.0  # that one of several choices took
    choices: dict[str, "Trained"] = field(default_factory=dict)  # everything that was tried, this being one of them
    choice: str | None = None  # which one
    stage: str = ""  # what this is called where other stages came before it

    @property
    def best(self) -> Candidate:
        """The pick that is saved: the best seed's, by the same rule."""
        return best(self.picks)

    def timing(self, total_s: float) -> dict[str, float | None]:
        """The report's `timing`, in seconds; images per second count the training loop with its ID-val passes."""
        features_s = self.features_s or next((stage.features_s for stage in self.before.values()), None)
        train_s = sum(epoch["seconds"] for run in self.runs for epoch in run.get("history", [])) or None
        return {
            "total_s": round(total_s, 3),
            "features_s": round(features_s, 3) if features_s else None,
            "train_s": round(train_s, 3) if train_s else None,
            "images_per_s": round(self.images / train_s, 1) if train_s else None,
        }


def search(
    start: Callable[[int], nn.Module], plan: Plan, config: Training, experiment: Experiment, log: Log, choice: str = ""
) -> Trained:
    """Run every rate of the grid for every seed, each from `start(seed)`; pick per seed.

    choice: the name of this search where it is one of several, which their method has announced; it may then end
    without a pick. Raises RunError when every run diverged.
    """
    grid, seeds = config.lr, config.seed_list()
    if not choice:
        log.plan(len(grid) * len(seeds), config.epochs)
    runs: list[dict[str, Any]] = []
    picks: list[Candidate] = []
    scores: list[dict[str, Any]] = []
    for seed in seeds:
        kept: Candidate | None = None
        seen: list[dict[str, Any]] = []
        keeper = ""
        for lr in grid:
            name = f"{choice} lr {lr:g} seed {seed}".strip()
            run = fit(start(seed), Stage(plan, lr, config), experiment, seed, log, name)
            runs.append(run.describe())
            # Only the best weights of a seed stay, in memory and in the states.
            if run.candidate and (kept is None or best([kept, run.candidate]) is run.candidate):
                kept, seen, keeper, name = run.candidate, run.scores, name, keeper
            if experiment.checkpointer and name:
                experiment.checkpointer.slim(name)
        if kept:
            picks.append(with_edge(kept, grid, log, choice))
            scores += [{"seed": seed, "lr": kept.lr, "epochs": seen}] if seen else []
    if not choice:
        best(picks)  # refuses where nothing is left
    for seed in sorted(set(seeds) - {pick.seed for pick in picks}):
        log.warn("seed-diverged", f"{named(seed, choice)}: every run diverged; it has no part in the results")
    passes = sum(epoch["epoch"] > 0 for run in runs for epoch in run["history"])
    assert experiment.task.train is not None
    ordered = sorted(runs, key=lambda run: (run["seed"], run["lr"]))
    images = passes * len(experiment.task.train)
    return Trained(ordered, picks, images=images, moved=plan.ever(config.epochs), scores=scores)


def with_edge(pick: Candidate, grid: Collection[float], log: Log, choice: str) -> Candidate:
    """The pick, marked and warned about where a better rate may lie outside the grid."""
    edge = len(grid) > 1 and pick.lr in (min(grid), max(grid))
    if edge:
        side = "lowest" if pick.lr == min(grid) else "highest"
        of = named(pick.seed, choice)
        log.warn("edge-of-grid", f"{of}: the picked rate {pick.lr:g} is the {side} of the grid; widen --lr")
    return replace(pick, edge_of_grid=edge)


def named(seed: int, choice: str) -> str:
    """What a warning is about."""
    return f"{choice}, seed {seed}" if choice else f"seed {seed}"
