"""The time that is left, from the time that loops over batches have taken so far."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

UNTYPICAL = 2  # batches at the beginning of the first loop of a kind: what is made once is made in them
LATEST = 8  # loops of a kind whose time counts
BASIS = 0.5  # share of the work ahead that must be of kinds that have been seen

Key = tuple[str, str]  # what the loop is for, such as a choice of blocks; the kind of the loop


@dataclass
class RunningLoop:
    """The loop that runs now. `untypical`: batches at its beginning that do not count; `since`: when they ended."""

    key: Key
    untypical: int
    since: float
    done: int = 0

    def measured(self, now: float) -> tuple[int, float]:
        """Batches that count, and their seconds."""
        return (self.done - self.untypical, now - self.since) if self.done > self.untypical else (0, 0.0)


@dataclass
class TimeLeft:
    """Seconds that the batches ahead will take.

    A loop lasts until the next one begins, so that what happens between loops (a loss that is read from the device, a
    state that is saved) counts with the loop before it. clock: seconds, as time.perf_counter. `seconds` may be asked in
    another thread, the one that paints a terminal, while the others of the methods are called.
    """

    clock: Callable[[], float] = time.perf_counter
    ahead: dict[Key, float] = field(default_factory=dict)  # batches
    costs: dict[Key, float] = field(default_factory=dict)  # of one batch, before any was seen
    seen: dict[Key, deque[tuple[int, float]]] = field(default_factory=dict)  # (batches, seconds) of the latest loops
    running: RunningLoop | None = None
    based: bool = False  # whether BASIS was reached: what has been said is not taken back

    def expect(self, key: Key, count: float, cost: float) -> None:
        """So many batches more."""
        self.ahead[key] = self.ahead.get(key, 0.0) + count
        self.costs[key] = cost

    def begin(self, key: Key) -> None:
        """A loop begins."""
        self.end()
        self.running = RunningLoop(key, 0 if key in self.seen else UNTYPICAL, self.clock())

    def batch(self) -> None:
        """A batch of the loop is done."""
        loop = self.running
        if loop is None:
            return
        loop.done += 1
        if loop.done == loop.untypical:
            loop.since = self.clock()
        if loop.key in self.ahead:
            self.ahead[loop.key] = max(0.0, self.ahead[loop.key] - 1)

    def end(self) -> None:
        """What happens from now on belongs to no loop."""
        if self.running is None:
            return
        measured = self.running.measured(self.clock())
        latest = self.seen.setdefault(self.running.key, deque(maxlen=LATEST))  # now it has been seen, and is warm
        if measured[0]:
            latest.append(measured)
        self.running = None

    def totals(self) -> dict[Key, tuple[int, float]]:
        """Batches and seconds of every key of which some batches were typical."""
        loops = [(key, tuple(latest)) for key, latest in list(self.seen.items())]  # copies: see the class
        if (running := self.running) is not None:
            loops.append((running.key, (running.measured(self.clock()),)))
        totals: dict[Key, tuple[int, float]] = {}
        for key, measured in loops:
            count, seconds = totals.get(key, (0, 0.0))
            totals[key] = (count + sum(n for n, _ in measured), seconds + sum(s for _, s in measured))
        return {key: total for key, total in totals.items() if total[0]}

    def per_batch(self, key: Key) -> float | None:
        """Seconds of one batch, where that was seen."""
        count, seconds = self.totals().get(key, (0, 0.0))
        return seconds / count if count else None

    def seconds(self) -> float | None:
        """Seconds that all batches ahead will take; None while too few of their kinds have been seen.

        What was not seen is estimated from its kind under another choice, else from everything, by the costs.
        """
        totals = {key: total for key, total in self.totals().items() if key in self.costs}
        all_rate = self.per_cost(totals)
        if all_rate is None:
            return None
        known = unknown = 0.0
        for key, count in list(self.ahead.items()):
            same_kind = self.per_cost({other: total for other, total in totals.items() if other[1] == key[1]})
            if key in totals:
                known += count * totals[key][1] / totals[key][0]
            elif same_kind is not None:
                known += count * self.costs[key] * same_kind
            else:
                unknown += count * self.costs[key] * all_rate
        self.based |= known >= BASIS * (known + unknown)
        return known + unknown if self.based else None

    def per_cost(self, totals: dict[Key, tuple[int, float]]) -> float | None:
        """Seconds per unit of cost over all of these; None where there is none."""
        cost = sum(self.costs[key] * count for key, (count, _) in totals.items())
        return sum(seconds for _, seconds in totals.values()) / cost if cost else None
