"""The progress of a whole command: which run of how many, the share of the work that is done, the time left."""

import time
from collections.abc import Callable, Mapping

from ftcli.console.time_left import Key, TimeLeft
from ftcli.workload import EVALUATION, PASS, SearchWork


class Overall:
    """Where a command is among the runs that it has planned.

    Attributes:
        noun: what one of the planned parts is called, as "run".
        run, runs: the number of the part that goes on, counted from 1, and of all parts.
        resumed: whether a part did not begin at its beginning, or was finished before.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.time_left = TimeLeft(clock)
        self.searches: dict[str, SearchWork] = {}
        self.noun, self.run, self.runs, self.stage = "run", 0, 0, ""
        self.search = ""  # the one that goes on
        self.resumed = False
        self.at_end_of_run: dict[Key, float] = {}  # batches that will be ahead then
        self.planned: dict[Key, float] = {}

    def plan(self, searches: Mapping[str, SearchWork], noun: str) -> None:
        """All that will be done from now on, except for what comes once before it."""
        self.noun, self.searches = noun, dict(searches)
        for name, work in searches.items():
            self.runs += work.runs
            for key, count in run_work(name, work).items():
                self.time_left.expect(key, work.runs * count, work.epoch[key[1]].cost)
            if work.evaluation:
                self.time_left.expect((EVALUATION, PASS), work.evaluation, 1.0)
        self.planned = dict(self.time_left.ahead)

    def begin_search(self, name: str) -> None:
        """The runs that follow are of this search."""
        self.end_run()
        self.search, self.stage = name, ""

    def begin_run(
        self, done: int, total: int, resumed: bool, finished: bool, since: int = 0, until: int | None = None
    ) -> None:
        """A run begins, or goes on after `done` of its `total` epochs; a finished one is over already.

        since, until: the epochs between which it goes without a pause.
        """
        self.end_run()
        ahead, self.stage = self.time_left.ahead, ""
        self.run += not since
        share = ((total if until is None else until) - since) / total
        work = self.work_of_run()
        self.at_end_of_run = {key: max(0.0, ahead[key] - count * share) for key, count in work.items()}
        self.resumed |= finished or resumed
        if finished:
            self.end_run()
            return
        for key, count in work.items():
            ahead[key] = max(self.at_end_of_run[key], ahead[key] - count * (done - since) / total)

    def leave_out(self, epochs: int, runs: int) -> None:
        """Of what is ahead in the search, so many epochs will not be trained, and so many runs not be begun."""
        self.end_run()
        self.runs -= runs
        for key, count in self.work_of_run().items():
            ahead = self.time_left.ahead[key]
            self.time_left.ahead[key] = max(0.0, ahead - count * epochs / self.searches[self.search].epochs)

    def work_of_run(self) -> dict[Key, float]:
        """Batches of one run of the search that goes on; none where it is not planned."""
        return run_work(self.search, self.searches[self.search]) if self.search in self.searches else {}

    def end_run(self) -> None:
        """The run is over, however far it came."""
        self.time_left.end()
        for key, count in self.at_end_of_run.items():
            self.time_left.ahead[key] = min(self.time_left.ahead[key], count)
        self.at_end_of_run = {}

    def begin_stage(self, name: str) -> None:
        """Something that is no run, as the evaluation at the end."""
        self.end_run()
        self.search = self.stage = name

    def name(self) -> str:
        """What goes on, as "run 2 of 8"; empty where nothing is planned."""
        if self.stage or not self.runs:
            return self.stage
        return f"{self.noun} {max(1, self.run)} of {self.runs}"

    def share_done(self) -> float:
        """Share of the planned work that is done, by its costs."""
        costs = self.time_left.costs
        whole = sum(costs[key] * count for key, count in self.planned.items())
        ahead = sum(costs[key] * self.time_left.ahead[key] for key in self.planned)
        return 1 - ahead / whole if whole else 0.0


def run_work(name: str, work: SearchWork) -> dict[Key, float]:
    """Batches of one run of a search."""
    return {(name, kind): float(work.epochs * loop.count) for kind, loop in work.epoch.items()}


def duration(seconds: float) -> str:
    """A length of time, rounded as an estimate is: to 5 seconds, minutes, half hours or hours."""
    if seconds < 9.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{round(seconds / 1800) / 2:g} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"
