"""A grid that is halved with the first seed; the other seeds run the rates that are left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from ftcli.config.training import Training
from ftcli.engine.budget.halving import Halving, best_until, epochs_in, halving_of
from ftcli.engine.budget.seed_runs import SeedRuns
from ftcli.engine.budget.types import Budget, Eliminated
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate
from ftcli.log import Log


@dataclass(frozen=True)
class AuditedPicks:
    """The picks of one seed with halving and with its full grid, their weights included. choice: of the search."""

    choice: str
    halving: Candidate
    full: Candidate


class HalvedSearch:
    """The rates that each seed runs, and how far.

    The first seed with a pick compares the rates; the seeds after it run the best of those that it finished.
    """

    def __init__(self, config: Training, inputs: RunInputs, log: Log, choice: str) -> None:
        assert inputs.task.id_val is not None and inputs.checkpointer is not None  # paused runs lie in saved states
        self.inputs, self.log, self.choice = inputs, log, choice
        self.halving: Halving = halving_of(config, len(inputs.task.id_val))
        self.seeds_left = self.halving.seeds
        self.rates: Sequence[float] = ()  # for the seeds that are left
        self.eliminated: list[Eliminated] = []
        self.epochs_run = 0
        self.audits: list[AuditedPicks] = []

    def run(self, of_seed: SeedRuns) -> None:
        """All runs of the next seed."""
        self.seeds_left -= 1
        if self.rates:
            for lr in self.rates:
                of_seed.finish(lr)
            left_out = [lr for lr in self.halving.grid if lr not in self.rates]
            self.eliminated += [self.entry(of_seed.seed, lr, 0, None) for lr in left_out]
        else:
            self.compare(of_seed)
        self.epochs_run += epochs_of(of_seed, self.halving.epochs)
        if self.halving.audit and of_seed.eliminated:
            self.finish_eliminated(of_seed)

    def compare(self, of_seed: SeedRuns) -> None:
        """Halve the grid with this seed."""
        halving, before = self.halving, 0
        alive = self.within_budget(list(halving.grid), 0, halving.rungs[0], of_seed)
        for rung in halving.rungs[:-1]:
            for lr in alive:
                of_seed.advance(lr, before, rung)
            self.inputs.machine.wait_for_all()  # until the states of this rung are saved
            after = halving.rungs[halving.rungs.index(rung) + 1]
            alive = self.eliminate(alive, rung, after, of_seed)
            before = rung
        for lr in alive:
            of_seed.finish(lr, before)
        if not self.halving.audit:
            for lr in of_seed.eliminated:
                of_seed.end(lr)
        self.choose_rates(alive, of_seed)

    def eliminate(self, alive: Sequence[float], rung: int, after: int, of_seed: SeedRuns) -> list[float]:
        """The rates that go on after a rung, ascending."""
        histories = {lr: of_seed.runs[lr].history for lr in alive}
        best_so_far = {lr: best_until(history, rung, of_seed.seed, lr) for lr, history in histories.items()}
        candidates = {lr: candidate for lr, candidate in best_so_far.items() if candidate}
        kept = self.within_budget(self.halving.kept(candidates), rung, after, of_seed)
        for lr, candidate in candidates.items():
            if lr not in kept:
                of_seed.eliminated[lr] = rung
                self.eliminated.append(self.entry(of_seed.seed, lr, rung, candidate))
        gone = len(alive) - (len(candidates) if self.halving.audit else len(kept))
        self.log.leave_out(gone * (self.halving.epochs - rung))
        rates = ", ".join(f"{lr:g}" for lr in kept) or "none"
        self.log.note(f"kept {len(kept)} of {len(alive)} rates after epoch {rung}: {rates}")
        return kept

    def within_budget(self, rates: list[float], at: int, after: int, of_seed: SeedRuns) -> list[float]:
        """As many of these rates, ordered from the best, as can be trained from epoch `at` to `after`; ascending."""
        spent = self.epochs_run + epochs_of(of_seed, at)
        return sorted(rates[: self.halving.affordable(at, after, spent, self.seeds_left)])

    def choose_rates(self, finished: Sequence[float], of_seed: SeedRuns) -> None:
        """The rates of the seeds that are left: the best of those that this one finished."""
        epochs = self.halving.epochs
        ended = {lr: best_until(of_seed.runs[lr].history, epochs, of_seed.seed, lr) for lr in finished}
        order = self.halving.order({lr: candidate for lr, candidate in ended.items() if candidate})
        spent = self.epochs_run + epochs_of(of_seed, epochs)
        self.rates = sorted(order[: self.halving.rates_of_other_seeds(spent, self.seeds_left)])
        if self.rates:
            gone = (len(self.halving.grid) - len(self.rates)) * self.seeds_left
            self.log.leave_out(gone * epochs, runs=gone)

    def finish_eliminated(self, of_seed: SeedRuns) -> None:
        """Train the eliminated runs of a seed to their end, and keep both picks."""
        halving = of_seed.pick
        for lr, epoch in list(of_seed.eliminated.items()):
            of_seed.finish(lr, epoch, spare=halving.lr if halving else None)
        if halving and halving.candidate and of_seed.pick and of_seed.pick.candidate:
            self.audits.append(AuditedPicks(self.choice, halving.candidate, of_seed.pick.candidate))

    def entry(self, seed: int, lr: float, epochs: int, candidate: Candidate | None) -> Eliminated:
        return Eliminated(seed=seed, lr=lr, epochs=epochs, best=candidate.score if candidate else None)

    def result(self) -> Budget:
        """The report's `budget`; warns that rates were compared at different lengths."""
        halving = self.halving
        ended = [entry for entry in self.eliminated if entry.epochs]
        if ended and not self.halving.audit:
            of = f"{self.choice}: " if self.choice else ""
            counts = [(epoch, sum(entry.epochs == epoch for entry in ended)) for epoch in halving.rungs]
            when = ", ".join(f"{count} after epoch {epoch}" for epoch, count in counts if count)
            self.log.warn(
                "rates-halved",
                f"{of}--budget compared rates at different lengths: of {len(halving.grid)} rates it eliminated {when}; "
                f"the full grid may pick another",
            )
        return Budget(
            rungs=halving.rungs, eliminated=self.eliminated, epochs_run=self.epochs_run, epochs_full=halving.full
        )


def epochs_of(of_seed: SeedRuns, until: int) -> int:
    """Epochs of all runs of a seed, of those up to `until`; of eliminated runs, those up to their elimination."""
    ends = {lr: min(until, of_seed.eliminated.get(lr, until)) for lr in of_seed.runs}
    return sum(epochs_in(run.history, ends[lr]) for lr, run in of_seed.runs.items())


def joined(budgets: Mapping[str, Budget | None]) -> Budget | None:
    """The budget of several searches, by the name of the choice; None where nothing was halved."""
    of_choice = {choice: budget for choice, budget in budgets.items() if budget}
    if not of_choice:
        return None
    return Budget(
        rungs=next(iter(of_choice.values())).rungs,
        eliminated=[
            structs.replace(entry, choice=choice) for choice, budget in of_choice.items() for entry in budget.eliminated
        ],
        epochs_run=sum(budget.epochs_run for budget in of_choice.values()),
        epochs_full=sum(budget.epochs_full for budget in of_choice.values()),
    )
