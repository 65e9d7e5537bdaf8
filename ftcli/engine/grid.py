"""A grid of rates over several seeds: every run is kept in the report, one candidate per seed is picked."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import nn

from ftcli.config.training import Training
from ftcli.engine.budget.halved_search import AuditedPicks, HalvedSearch
from ftcli.engine.budget.seed_runs import SeedRuns
from ftcli.engine.budget.types import Budget
from ftcli.engine.plan import Plan
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate, best
from ftcli.engine.train import fit
from ftcli.engine.training_run import Run
from ftcli.engine.types import HeadNorms, LowRankLayers, RunRecord, RunScores, Timing
from ftcli.engine.workload import search_work
from ftcli.log import Log
from ftcli.model.low_rank import LowRank


@dataclass(frozen=True)
class Trained:
    """The result of a method: every run, one pick per seed, and the stages that came before."""

    runs: list[RunRecord]
    picks: list[Candidate]
    earlier_stages: dict[str, "Trained"] = field(default_factory=dict)
    stage: str = ""  # the name of this, the last stage, where there may be stages before it
    features_s: float | None = None  # seconds that computing the features of a frozen network took
    images: int = 0  # training images that went through the loop
    trained_parameters: Collection[str] = ()  # names of the parameters that trained
    own_heads: bool = False  # whether the runs of each seed start from a head of their own
    frozen: bool = False  # whether the picks have the body that the method was given
    scores: list[RunScores] = field(default_factory=list)  # of each pick's run, by epoch
    seconds: float = 0.0  # of one of several choices
    choices: dict[str, "Trained"] = field(default_factory=dict)  # the result of every choice; this is one of them
    choice: str | None = None  # the name of this one
    heads: dict[str, HeadNorms] = field(default_factory=dict)  # of a probed head: "probe", "start" if it is scaled
    budget: Budget | None = None  # how the grid was halved
    audits: Sequence[AuditedPicks] = ()  # of halved grids
    low_rank: LowRankLayers | None = None  # of layers that trained as W + BA

    @property
    def best(self) -> Candidate:
        """The pick that is saved: the best seed's, by the same rule."""
        return best(self.picks)

    def timing(self, total_s: float) -> Timing:
        """The report's `timing`, in seconds; images per second count the training loop with its ID-val passes."""
        features_s = self.features_s or next((stage.features_s for stage in self.earlier_stages.values()), None)
        train_s = sum(epoch.seconds for run in self.runs for epoch in run.epochs()) or None
        return Timing(
            round(total_s, 3),
            features_s=round(features_s, 3) if features_s else None,
            train_s=round(train_s, 3) if train_s else None,
            images_per_s=round(self.images / train_s, 1) if train_s else None,
        )


def search(
    start: Callable[[int], nn.Module], plan: Plan, config: Training, inputs: RunInputs, log: Log, choice: str = ""
) -> Trained:
    """Run every rate of the grid for every seed, each from `start(seed)`; pick per seed. With --budget, halve the grid.

    choice: the name of this search where it is one of several; it may then end without a pick. Raises RunError where
    every run diverged.
    """
    seeds = config.seed_list()
    log.begin_search(choice)
    halved = HalvedSearch(config, inputs, log, choice) if config.budget else None
    runs: list[RunRecord] = []
    picks: list[Candidate] = []
    scores: list[RunScores] = []
    planned = bool(choice)

    def fit_run(seed: int, lr: float, since: int, until: int) -> Run:
        nonlocal planned
        model = start(seed)
        if not planned:
            log.plan({choice: search_work(model, plan, config, inputs)})
            planned = True
        return fit(model, plan, lr, config, inputs, seed, log, run_name(seed, lr, choice), choice, since, until)

    for seed in seeds:
        of_seed = SeedRuns(
            seed, config.epochs, partial(fit_run, seed), partial(drop_weights, inputs, seed, choice),
            keep=config.keeps_weights,
        )  # fmt: skip
        if halved:
            halved.run(of_seed)
        else:
            for lr in config.lr:
                of_seed.finish(lr)
        runs += of_seed.records()
        if pick := of_seed.pick:
            assert pick.candidate is not None
            picks.append(mark_edge(pick.candidate, config.lr, log, choice))
            scores += [RunScores(seed, pick.lr, pick.scores)] if pick.scores else []
    if not choice:
        best(picks)  # raises where nothing is left
    for seed in sorted(set(seeds) - {pick.seed for pick in picks}):
        log.warn("seed-diverged", f"{run_label(seed, choice)}: every run diverged; it has no part in the results")
    passes = sum(epoch.epoch > 0 for run in runs for epoch in run.epochs())
    assert inputs.task.train is not None
    return Trained(
        runs, picks, images=passes * len(inputs.task.train), trained_parameters=plan.trainable(config.epochs),
        scores=scores, budget=halved.result() if halved else None, audits=halved.audits if halved else (),
        low_rank=described(plan.low_rank) if plan.low_rank else None,
    )  # fmt: skip


def described(low_rank: LowRank) -> LowRankLayers:
    """The layers that trained as W + BA, for the report."""
    return LowRankLayers(
        rank=low_rank.rank,
        alpha=low_rank.rank,
        layers=list(low_rank.parameters),
        parameters=sum(low_rank.parameters.values()),
        left_out={why: list(paths) for why, paths in low_rank.left_out.items()},
    )


def drop_weights(inputs: RunInputs, seed: int, choice: str, lr: float) -> None:
    """Drop the saved weights of a run that is not picked."""
    if inputs.checkpointer:
        inputs.checkpointer.drop_weights(run_name(seed, lr, choice))


def run_name(seed: int, lr: float, choice: str) -> str:
    """What messages and saved states call a run."""
    return f"{choice} lr {lr:g} seed {seed}".strip()


def mark_edge(pick: Candidate, grid: Collection[float], log: Log, choice: str) -> Candidate:
    """The pick, marked and warned about where a better rate may lie outside the grid."""
    edge = len(grid) > 1 and pick.lr in (min(grid), max(grid))
    if edge:
        side = "lowest" if pick.lr == min(grid) else "highest"
        of = run_label(pick.seed, choice)
        log.warn("edge-of-grid", f"{of}: the picked rate {pick.lr:g} is the {side} of the grid; widen --lr")
    return replace(pick, edge_of_grid=edge)


def run_label(seed: int, choice: str) -> str:
    return f"{choice}, seed {seed}" if choice else f"seed {seed}"
