"""A grid of rates over several seeds: every run is kept in the report, one candidate per seed is picked."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ftcli.config import Training
from ftcli.engine.plan import Plan
from ftcli.engine.select import Candidate, best
from ftcli.engine.setting import Setting
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


def search(start: Callable[[int], nn.Module], plan: Plan, config: Training, setting: Setting, log: Log) -> Trained:
    """Run every rate of the grid for every seed, each from `start(seed)`; pick per seed.

    Raises RunError when every run diverged.
    """
    grid, seeds = config.lr, config.seed_list()
    log.plan(len(grid) * len(seeds), config.epochs)
    runs: list[dict[str, Any]] = []
    picks: list[Candidate] = []
    for seed in seeds:
        of_seed: list[Candidate] = []
        for lr in grid:
            run = fit(start(seed), Stage(plan, lr, config), setting, seed, log, f"lr {lr:g} seed {seed}")
            runs.append(run.describe())
            if run.candidate:  # only the best weights of a seed stay in memory
                of_seed = [best([*of_seed, run.candidate])]
        if of_seed:
            picks.append(with_edge(of_seed[0], grid, log))
    best(picks)  # refuses where nothing is left
    for seed in sorted(set(seeds) - {pick.seed for pick in picks}):
        log.warn("seed-diverged", f"seed {seed}: every run diverged; the results are those of the other seeds")
    passes = sum(epoch["epoch"] > 0 for run in runs for epoch in run["history"])
    assert setting.task.train is not None
    ordered = sorted(runs, key=lambda run: (run["seed"], run["lr"]))
    return Trained(ordered, picks, images=passes * len(setting.task.train), moved=plan.ever(config.epochs))


def with_edge(pick: Candidate, grid: Collection[float], log: Log) -> Candidate:
    """The pick, marked and warned about where a better rate may lie outside the grid."""
    edge = len(grid) > 1 and pick.lr in (min(grid), max(grid))
    if edge:
        side = "lowest" if pick.lr == min(grid) else "highest"
        log.warn("edge-of-grid", f"seed {pick.seed}: the picked rate {pick.lr:g} is the {side} of the grid; widen --lr")
    return replace(pick, edge_of_grid=edge)
