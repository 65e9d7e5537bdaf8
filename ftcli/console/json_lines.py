"""The progress of a command as JSON lines on stderr, for programs that wait for it: `--progress json`."""

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ftcli.console.streams import ignoring_full_disk
from ftcli.console.timed import TimedLog
from ftcli.log import EpochEnd
from ftcli.records import as_json_line
from ftcli.workload import SearchWork


class JsonLog(TimedLog):
    """Writes each event as an object with the key `event`, on a line. `quiet` leaves out all but the warnings.

    epochs: of all runs together; done: those that are over, by run.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self.quiet, self.began = quiet, time.perf_counter()
        self.epochs, self.done = 0, dict[str, int]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.write("end", {"ok": kind is None, "seconds": round(time.perf_counter() - self.began, 3)})

    def write(self, event: str, values: Mapping[str, Any], *, always: bool = False) -> None:
        if always or not self.quiet:
            with ignoring_full_disk():
                sys.stderr.write(as_json_line({"event": event, **values}, ascii=True))
                sys.stderr.flush()

    def warn(self, code: str, text: str) -> None:
        before = len(self.warnings)
        super().warn(code, text)
        if len(self.warnings) > before:
            self.write("warning", {"code": code, "text": text}, always=self.warns_always)

    def note(self, text: str) -> None:
        self.write("note", {"text": text})

    def plan(self, searches: Mapping[str, SearchWork], noun: str = "run") -> None:
        super().plan(searches, noun)
        counts = {f"{noun}s": self.overall.runs}
        if noun == "run":
            self.epochs += sum(work.runs * work.epochs for work in searches.values())
            counts["epochs"] = self.epochs
        self.write("start", counts)

    def begin_run(
        self, done: int, total: int, *, unit: str = "epoch", resumed: bool = False, finished: bool = False,
        since: int = 0, until: int | None = None, name: str = "", ended: Sequence[EpochEnd] = (),
    ) -> None:  # fmt: skip
        super().begin_run(
            done, total, unit=unit, resumed=resumed, finished=finished, since=since, until=until, name=name, ended=ended
        )
        name = name or self.overall.search
        if unit == "epoch":
            self.done[name] = (total if until is None else until) if finished else done  # one that pauses is not whole
        where = {"run": name, "number": self.overall.run, "of": self.overall.runs}
        how_far = {"unit": unit, "done": done, "total": total, "resumed": resumed, "finished": finished}
        self.write("run", {**where, **how_far})

    def begin_stage(self, name: str) -> None:
        super().begin_stage(name)
        self.write("stage", {"name": name})

    def epoch(self, event: EpochEnd) -> None:
        super().epoch(event)
        self.done[event.run] = event.line["epoch"]
        left = self.overall.time_left.seconds()
        overall = {"epochs_done": sum(self.done.values()), "epochs": self.epochs}
        eta = {"eta_s": None if left is None else round(left, 1)}
        self.write("epoch", {"run": event.run, "of": event.epochs, **event.line, **overall, **eta})
