"""The halving of a grid by itself: which rates go on, what that costs, and what is promised of the pick."""

import random
from math import ceil, sqrt
from pathlib import Path

import pytest
from msgspec import UNSET

from ftcli.config.tuning import Finetune
from ftcli.engine.budget.halved_search import HalvedSearch
from ftcli.engine.budget.halving import Halving, best_until, check_budget, share_of_budget
from ftcli.engine.budget.seed_runs import SeedRuns
from ftcli.engine.select import Candidate
from ftcli.engine.training_run import Run
from ftcli.engine.types import Epoch, Score
from ftcli.errors import RequestError
from ftcli.log import Log

GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


def candidates(accuracies: list[float], losses: list[float] | None = None) -> dict[float, Candidate]:
    pairs = zip(accuracies, losses or [1.0] * len(accuracies), strict=True)
    return {lr: Candidate(0, *pair, epoch=1, lr=lr) for lr, pair in zip(GRID, pairs, strict=False)}


def test_kept_are_a_third_the_neighbours_and_what_ties() -> None:
    halving = Halving(GRID, 10, 1, 10_000)
    # The best third of eight are three; the leader's neighbours have 0.1; one rate is a standard error below.
    kept = halving.kept(candidates([0.5, 0.6, 0.1, 0.9, 0.1, 0.2, 0.3, 0.899]))
    assert kept == [1e-2, 100.0, 1e-4, 1e-3, 1e-1]
    assert halving.kept(candidates([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])) == [1e-5, 100.0, 10.0, 1e-4]
    assert halving.kept({}) == []


@pytest.mark.parametrize(("n", "accuracy"), [(60, 0.9), (150, 0.7), (1000, 1.0)])
def test_ties_are_within_two_standard_errors(n: int, accuracy: float) -> None:
    p = (accuracy * n + 1) / (n + 2)
    error = sqrt(p * (1 - p) / n)
    inside, outside = accuracy - 1.99 * error, accuracy - 2.01 * error
    halving = Halving(GRID, 10, 1, n)
    kept = halving.kept(candidates([accuracy, 0.01, 0.02, inside, outside, inside, outside, 0.03]))
    assert {1e-5, 1e-4, 1e-2, 1.0} <= set(kept) and 1e-1 not in kept[3:] and 10.0 not in kept


def test_within_one_standard_error_the_loss_decides() -> None:
    halving = Halving(GRID[:3], 10, 1, 100)
    assert halving.order(candidates([0.90, 0.89, 0.80], [0.5, 0.4, 0.1])) == [1e-4, 1e-5, 1e-3]
    assert halving.order(candidates([0.90, 0.90, 0.80], [0.5, 0.5, 0.1])) == [1e-5, 1e-4, 1e-3]


def test_epochs_of_eight_rates_and_ten_epochs() -> None:
    """8 · 1 + 3 · 2 + 1 · 7 where nothing ties; all of them where everything does."""
    assert Halving(GRID, 10, 1, 100).bounds() == (21, 80)
    assert Halving(GRID, 10, 3, 100).bounds() == (21 + 2 * 10, 80 + 2 * 3 * 10)
    assert Halving(GRID, 10, 3, 100, most=50).bounds() == (41, 50)
    assert Halving(GRID, 10, 3, 100).full == 240 and Halving(GRID, 10, 3, 100).least == 7 + 30
    assert Halving(GRID, 3, 1, 100).rungs == [1, 3] and Halving(GRID, 1, 1, 100).rungs == [1]


def history(seed: int, lr: float, epochs: int, diverges: bool, levels: int) -> list[Epoch]:
    """Figures that depend on seed and rate alone, as those of a run do."""
    rng = random.Random(f"{seed} {lr}")
    end = rng.randint(0, epochs) if diverges and rng.random() < 0.3 else epochs
    figures = [Score(rng.randint(0, levels) / levels, rng.random()) for _ in range(end)]
    return [Epoch(epoch=i, loss=1.0, id_val=score, seconds=0.0) for i, score in enumerate(figures, 1)]


class Command:
    """A search over runs that are not trained, but have the histories of `history`; counts epochs that are trained."""

    def __init__(self, tmp_path: Path, config: Finetune, world: int, diverges: bool, levels: int) -> None:
        self.config, self.world, self.diverges, self.levels = config, world, diverges, levels
        self.trained: dict[tuple[int, float], int] = {}
        self.dropped: set[tuple[int, float]] = set()
        self.search = HalvedSearch(config, Inputs(levels), Log(), "")  # type: ignore[arg-type]

    def fit(self, seed: int, lr: float, since: int, until: int) -> Run:
        entries = history(1000 * self.world + seed, lr, self.config.epochs, self.diverges, self.levels)
        assert self.trained.get((seed, lr), 0) == since, "a run goes on where it was paused"
        assert (seed, lr) not in self.dropped, "the weights of this run are gone"
        self.trained[seed, lr] = until
        diverged = len(entries) < until
        pick = None if diverged else best_until(entries[:until], until, seed, lr)
        pick = pick and Candidate(seed, pick.accuracy, pick.loss, pick.epoch, lr, state={"w": None})  # type: ignore[dict-item]
        return Run(seed, lr, entries[:until], pick, "diverged" if diverged else None)

    def run(self) -> list[SeedRuns]:
        runs = []
        for seed in self.config.seed_list():
            of_seed = SeedRuns(
                seed, self.config.epochs, lambda lr, since, until, seed=seed: self.fit(seed, lr, since, until),
                lambda lr, seed=seed: self.dropped.add((seed, lr)),
            )  # fmt: skip
            self.search.run(of_seed)
            runs.append(of_seed)
        return runs


class Inputs:
    """Of the inputs of a run, what a halved search looks at."""

    checkpointer = object()

    def __init__(self, n: int) -> None:
        self.task = self
        self.id_val = range(n)
        self.machine = self

    def wait_for_all(self) -> None:
        pass


def config_of(budget: str, epochs: int, seeds: int, rates: int) -> Finetune:
    return Finetune(train="x", lr=GRID[:rates], epochs=epochs, seeds=seeds, budget=budget)  # type: ignore[arg-type]


@pytest.mark.parametrize("diverges", [False, True])
@pytest.mark.parametrize("world", range(40))
def test_the_pick_is_never_below_a_recorded_epoch(world: int, diverges: bool, tmp_path: Path) -> None:
    """Of every run that did not diverge, eliminated ones included; and no run is trained twice or without weights."""
    rng = random.Random(world)
    config = config_of(rng.choice(["halving", "audit"]), rng.randint(1, 9), rng.randint(1, 3), rng.randint(1, 8))
    command = Command(tmp_path, config, world, diverges, rng.choice([10, 200]))
    for of_seed in command.run():
        recorded = [
            (-epoch.id_val.accuracy, epoch.id_val.loss)
            for record in of_seed.records()
            if not record.diverged
            for epoch in record.epochs()
        ]
        pick = of_seed.pick
        assert (pick is None) == (not recorded)
        if pick:
            assert pick.candidate is not None and pick.candidate.state, "the pick has its weights"
            assert (-pick.candidate.accuracy, pick.candidate.loss) == min(recorded)
            kept = {lr for (seed, lr) in command.trained if seed == of_seed.seed} - {
                lr for seed, lr in command.dropped if seed == of_seed.seed
            }
            assert pick.lr in kept
    budget = command.search.result()
    assert budget.epochs_full == len(config.lr) * config.epochs * len(config.seed_list())


@pytest.mark.parametrize("world", range(40))
def test_never_more_epochs_than_the_budget(world: int, tmp_path: Path) -> None:
    rng = random.Random(world)
    epochs, seeds, rates = rng.randint(1, 9), rng.randint(1, 3), rng.randint(1, 8)
    halving = Halving(GRID[:rates], epochs, seeds, 20)
    most = rng.randint(halving.least, halving.full)
    command = Command(tmp_path, config_of(str(most), epochs, seeds, rates), world, world % 2 == 1, 20)
    runs = command.run()
    trained = sum(len(run.history) for of_seed in runs for run in of_seed.runs.values())
    assert command.search.result().epochs_run == trained <= most
    if world % 2 == 0:
        assert all(any(len(run.history) == epochs for run in of_seed.runs.values()) for of_seed in runs)


def test_other_seeds_run_the_rates_that_are_left(tmp_path: Path) -> None:
    command = Command(tmp_path, config_of("halving", 9, 3, 8), 5, False, 500)
    first, *others = command.run()
    finished = {lr for lr, run in first.runs.items() if len(run.history) == 9}
    assert all(set(of_seed.runs) <= finished and len(of_seed.runs) == min(3, len(finished)) for of_seed in others)
    budget = command.search.result()
    ended = {(entry.seed, entry.lr): entry.epochs for entry in budget.eliminated}
    for of_seed in (first, *others):
        for lr in GRID:
            run = of_seed.runs.get(lr)
            assert (of_seed.seed, lr) not in ended if run and len(run.history) == 9 else True
            if run is None:
                assert ended[of_seed.seed, lr] == 0
            elif len(run.history) < 9:
                assert ended[of_seed.seed, lr] == len(run.history)
    marked = {record.lr: record.eliminated for record in first.records() if record.eliminated is not UNSET}
    assert marked == {lr: epochs for (seed, lr), epochs in ended.items() if seed == 0}


def test_an_audit_keeps_both_picks(tmp_path: Path) -> None:
    """Over many worlds the full grid sometimes picks what halving had eliminated; both then have their weights."""
    differing = 0
    for world in range(60):
        command = Command(tmp_path, config_of("audit", 6, 1, 8), world, False, 300)
        (of_seed,) = command.run()
        assert {len(run.history) for run in of_seed.runs.values()} == {6}
        assert not any(record.eliminated is not UNSET for record in of_seed.records())
        if not command.search.eliminated:
            continue
        (audit,) = command.search.audits
        assert audit.full.sort_key() <= audit.halving.sort_key() and audit.full.state and audit.halving.state
        assert of_seed.pick and audit.full == of_seed.pick.candidate
        eliminated = {entry.lr for entry in command.search.eliminated}
        assert audit.halving.lr not in eliminated
        if audit.full.lr in eliminated:
            differing += 1
            assert (0, audit.halving.lr) not in command.dropped  # an interruption would lose its weights
        assert command.search.result().epochs_run < 48
    assert differing > 5


def test_a_diverged_leader_leaves_the_pick_to_an_eliminated_rate(tmp_path: Path) -> None:
    """A run that diverges puts nothing forward, so its rivals' weights are kept until it has ended."""
    command = Command(tmp_path, config_of("halving", 5, 1, 2), 0, False, 1000)
    of_seed = SeedRuns(0, 5, fit, lambda lr: dropped.append(lr))
    dropped: list[float] = []
    command.search.halving = Halving((1e-5, 1e-3, 1e-1), 5, 1, 10_000)
    command.search.run(of_seed)
    assert of_seed.pick and of_seed.pick.lr == 1e-1 and of_seed.pick.candidate and of_seed.pick.candidate.state
    assert [record.lr for record in of_seed.records() if record.eliminated is not UNSET] == [1e-1]
    assert 1e-1 not in dropped


def fit(lr: float, since: int, until: int) -> Run:
    """The smallest rate leads and diverges in epoch 4; so does its neighbour; the largest is eliminated."""
    accuracy = {1e-5: 0.9, 1e-3: 0.5, 1e-1: 0.4}[lr]
    entries = [Epoch(epoch=i, loss=1.0, id_val=Score(accuracy, 1.0), seconds=0.0) for i in range(1, until + 1)]
    if lr < 1e-1 and until > 3:
        return Run(0, lr, entries[:3], None, "epoch 4: too large")
    return Run(0, lr, entries, Candidate(0, accuracy, 1.0, 1, lr, state={"w": None}))  # type: ignore[dict-item]


def test_too_small_a_number_is_refused_with_what_is_possible() -> None:
    config = config_of("36", 10, 3, 8)
    with pytest.raises(RequestError, match=r"need at least 37 epochs") as refused:
        check_budget(config, 1)
    assert "--budget 37 (the full grid has 240 epochs)" in refused.value.fix
    check_budget(config_of("37", 10, 3, 8), 1)
    with pytest.raises(RequestError, match=r"2 grids of 8 rates.*need at least 74 epochs"):
        check_budget(config_of("73", 10, 3, 8), 2)
    assert share_of_budget(config_of("75", 10, 3, 8), 2).budget == "37"
    check_budget(config_of("halving", 10, 3, 8), 5)


@pytest.mark.parametrize("rates", range(1, 9))
def test_a_third_is_rounded_up(rates: int) -> None:
    accuracies = [1 - i / 10 for i in range(rates)]
    kept = Halving(GRID[:rates], 9, 1, 10**6).kept(candidates(accuracies))
    assert len(kept) == max(ceil(rates / 3), min(rates, 2))
