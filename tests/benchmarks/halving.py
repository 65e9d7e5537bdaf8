"""Halving replayed from the histories of full grids: epochs saved, and what the pick loses.

python -m tests.benchmarks.halving RUN… [--halved RUN…]

RUN: folders of finished runs without --budget, with --ood-every-epoch. Every seed is taken as the first one of a
command, then all seeds together, as one command runs them. --halved: folders of the same commands with --budget
halving; each must equal the replay of the RUN at its place. Schedules are those of all epochs, so a halved run is a
full one cut short.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

from scipy.stats import spearmanr

from ftcli.config.tuning import Finetune
from ftcli.engine.budget.halved_search import HalvedSearch
from ftcli.engine.budget.halving import RUNGS, best_until
from ftcli.engine.budget.seed_runs import SeedRuns
from ftcli.engine.training_run import Run
from ftcli.engine.types import Epoch
from ftcli.log import Log
from ftcli.records import decoded

Histories = dict[tuple[int, float], list[Epoch]]


@dataclass(frozen=True)
class FullGrid:
    """A finished run without --budget. n: examples of ID-val."""

    name: str
    histories: Histories
    n: int
    epochs: int

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for seed, _ in self.histories})

    @property
    def rates(self) -> list[float]:
        return sorted({lr for _, lr in self.histories})


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def full_grid(folder: Path) -> FullGrid:
    """The histories in a run folder. Epoch 0 is no part of a grid's cost, but may be picked."""
    report = read(folder)
    runs = [run for run in report["runs"] if "lr" in run]
    histories = {(run["seed"], run["lr"]): decoded(run["history"], list[Epoch]) for run in runs}
    return FullGrid(folder.name, histories, report["data"]["id_val"]["n"], report["config"]["epochs"])


def replayed(grid: FullGrid, seeds: list[int]) -> tuple[HalvedSearch, list[SeedRuns]]:
    """A halved search whose runs are read from the histories."""
    config = Finetune(train="-", lr=tuple(grid.rates), epochs=grid.epochs, seed=tuple(seeds), budget="halving")  # type: ignore[arg-type]
    nothing = SimpleNamespace(wait_for_all=lambda: None)
    inputs: Any = SimpleNamespace(task=SimpleNamespace(id_val=range(grid.n)), machine=nothing, checkpointer=nothing)
    search = HalvedSearch(config, inputs, Log(), "")

    def fit(seed: int, lr: float, until: int) -> Run:
        history = [epoch for epoch in grid.histories[seed, lr] if epoch.epoch <= until]
        diverged = None if history and history[-1].epoch == until else "diverged"
        return Run(seed, lr, history, None if diverged else best_until(history, until, seed, lr), diverged)

    runs = []
    for seed in seeds:
        runs.append(
            SeedRuns(seed, grid.epochs, lambda lr, since, until, seed=seed: fit(seed, lr, until), lambda lr: None)
        )
        search.run(runs[-1])
    return search, runs


def full_pick(grid: FullGrid, seed: int) -> tuple[float, Epoch]:
    """The rate and epoch that the full grid picks."""
    runs = [best_until(grid.histories[seed, lr], grid.epochs, seed, lr) for lr in grid.rates]
    pick = min((run for run in runs if run), key=lambda candidate: candidate.sort_key())
    assert pick.lr is not None and pick.epoch is not None
    return pick.lr, entry(grid, seed, pick.lr, pick.epoch)


def entry(grid: FullGrid, seed: int, lr: float, epoch: int) -> Epoch:
    return next(one for one in grid.histories[seed, lr] if one.epoch == epoch)


def ood_mean(epoch: Epoch) -> float:
    return fmean(score.accuracy for score in (epoch.ood or {}).values()) if epoch.ood else float("nan")


def rows(grid: FullGrid, seeds: list[int]) -> Iterator[list[Any]]:
    """Of a command with these seeds: epochs, and for every seed both picks and what the halved one loses, in points."""
    search, runs = replayed(grid, seeds)
    budget = search.result()
    for of_seed in runs:
        pick = of_seed.pick
        assert pick and pick.candidate and pick.candidate.epoch is not None
        mine = entry(grid, of_seed.seed, pick.lr, pick.candidate.epoch)
        lr, best = full_pick(grid, of_seed.seed)
        yield [
            grid.name, ",".join(map(str, seeds)), of_seed.seed, budget.epochs_run, budget.epochs_full,
            f"{lr:g} @{best.epoch}", f"{pick.lr:g} @{mine.epoch}",
            100 * (best.id_val.accuracy - mine.id_val.accuracy), 100 * (ood_mean(best) - ood_mean(mine)),
        ]  # fmt: skip


def spearman(grid: FullGrid, seed: int, rung: int) -> float:
    """Between the rates' ranks by their best epoch up to `rung` and by their best epoch of all."""
    keys = []
    for until in (rung, grid.epochs):
        found = {lr: best_until(grid.histories[seed, lr], until, seed, lr) for lr in grid.rates}
        order = sorted((lr for lr in found if found[lr]), key=lambda lr: found[lr].sort_key())  # type: ignore[union-attr]
        keys.append([order.index(lr) if lr in order else len(order) for lr in grid.rates])
    return float(spearmanr(*keys).statistic)


def check_equal(grid: FullGrid, halved: Path) -> None:
    """Raises AssertionError unless a real halving is the replay: the same runs, to the same epochs, the same picks."""
    report = read(halved)
    seeds = sorted({run["seed"] for run in report["runs"] if "lr" in run})
    search, runs = replayed(grid, seeds)
    budget = search.result()
    for name in ("rungs", "epochs_run", "epochs_full"):
        assert report["budget"][name] == budget[name], name
    real = full_grid(halved).histories
    mine = {(of_seed.seed, lr): run.history for of_seed in runs for lr, run in of_seed.runs.items()}
    assert real.keys() == mine.keys()
    for key, history in real.items():
        assert [(e.epoch, e.loss, e.id_val, e.ood) for e in history] == [
            (e.epoch, e.loss, e.id_val, e.ood) for e in mine[key]
        ]
    picks = [report["selected"]] if "seeds" not in report else [seed["selected"] for seed in report["seeds"]]
    for of_seed, pick in zip(runs, picks, strict=True):
        assert of_seed.pick and of_seed.pick.candidate
        assert (pick["lr"], pick["epoch"]) == (of_seed.pick.lr, of_seed.pick.candidate.epoch)
    print(f"{halved.name}: equal to the replay: {len(real)} runs, {budget.epochs_run} epochs, the same pick")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--halved", nargs="*", type=Path, default=[])
    asked = parser.parse_args()
    grids = [full_grid(folder) for folder in asked.runs]
    print("run | seeds of the command | seed | epochs | of | full pick | halved pick | ID-val lost | OOD mean lost")
    for grid in grids:
        alone = [[seed] for seed in grid.seeds]
        for seeds in [*alone, grid.seeds] if len(alone) > 1 else alone:
            for row in rows(grid, seeds):
                print(" | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    print("run | seed | Spearman at epoch " + " | ".join(map(str, RUNGS)))
    for grid in grids:
        for seed in grid.seeds:
            print(f"{grid.name} | {seed} | " + " | ".join(f"{spearman(grid, seed, rung):.2f}" for rung in RUNGS))
    for grid, halved in zip(grids, asked.halved, strict=False):
        check_equal(grid, halved)


if __name__ == "__main__":
    main()
