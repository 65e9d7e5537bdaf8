"""What `--log-with` does: every run of the grid is a run in each tracker, with a point for every epoch."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker

from ftcli.config.shared import Resumable
from ftcli.files import read_regular
from ftcli.limits import MAX_JSON_BYTES
from ftcli.log import EpochEnd, Log
from ftcli.report.types import Report
from ftcli.run_folder.names import STATE
from ftcli.run_folder.request import command_of, options_in_request
from ftcli.safe_text import reason
from ftcli.tracking.kinds import Place, log_step, open_tracker, store_options

LOGGED = "logged.jsonl"  # in the folder of states: what the trackers have been given
OF_A_RUN = ("choice", "seed", "lr")  # keys of a line of history.jsonl that tell runs apart
RESULTS = "results"  # ends the names of runs that hold final figures

Logged = tuple[str, str, int]  # tracker, run, step


class Trackers:
    """The trackers of a command: a listener of its log. One that fails is left out from then on, with a warning.

    What has been logged is noted beside the saved states, so that a resumed command logs the other epochs only.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: Resumable, log: Log) -> None:
        self.names, self.log = list(names), log
        self.place = Place(folder, config.quiet or config.progress == "json")
        self.options = {"command": command_of(config), **flat_options(options_in_request(config))}
        self.run, self.open = "", dict[str, GeneralTracker]()  # the trackers of this run, by name
        self.path = folder / STATE / LOGGED
        self.logged, self.ids = read_logged(self.path)

    def __call__(self, event: EpochEnd) -> None:
        """Log an epoch."""
        figures = {key: value for key, value in event.line.items() if key not in (*OF_A_RUN, "epoch")}
        if event.rate is not None:
            figures["learning_rate"] = event.rate
        options = {key: event.line[key] for key in OF_A_RUN if key in event.line}
        self.log_figures(event.run, event.line["epoch"], flat(figures), options)

    def results(self, report: Report) -> None:
        """Log the final figures of every set: of the picks, and of every stage and choice."""
        parts: dict[str, Any] = {"": report, **(report.get("stages") or {}), **(report.get("choices") or {})}
        for name, part in parts.items():
            if results := part.get("results"):
                selected = part.get("selected") or {}
                options = {key: selected[key] for key in OF_A_RUN if selected.get(key) is not None}
                figures = flat(results.to_dict())
                self.log_figures(f"{name} {RESULTS}".strip(), selected.get("epoch") or 0, figures, options)

    def log_figures(self, run: str, step: int, figures: dict[str, float], options: Mapping[str, Any]) -> None:
        """Log the figures of a step of a run, in every tracker that does not have them."""
        if run != self.run:
            self.close()
            self.run = run
        for name in list(self.names):
            if (name, run, step) not in self.logged:
                self.guarded(name, partial(self.log_in, name, step, figures, options))

    def log_in(self, name: str, step: int, figures: dict[str, float], options: Mapping[str, Any]) -> None:
        if name not in self.open:
            known = self.ids.get((name, self.run), "")
            tracker, run_id = open_tracker(name, self.run, known, step, self.place)
            self.open[name] = tracker
            if not known:
                self.ids[name, self.run] = run_id
                self.note({"tracker": name, "run": self.run, "id": run_id})
                store_options(name, tracker, {**self.options, **options})
        log_step(name, self.open[name], figures, step)
        self.logged.add((name, self.run, step))
        self.note({"tracker": name, "run": self.run, "step": step})

    def note(self, entry: dict[str, Any]) -> None:
        """Append to what has been logged."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """The run that is open has ended, for now or altogether."""
        while self.open:
            name, tracker = self.open.popitem()
            self.guarded(name, tracker.finish)

    def guarded(self, name: str, work: Callable[[], None]) -> None:
        """Do something with a tracker; where that fails, warn and use it no more."""
        try:
            work()
        except Exception as error:
            if name in self.names:
                self.names.remove(name)
            self.open.pop(name, None)
            self.log.note(f"{name}: {reason(error)}")  # not in the warning, which the report holds: it may name a host
            self.log.warn("tracker-failed", f"{name} failed ({type(error).__name__}); nothing more is logged to it")


@contextmanager
def tracked(names: Sequence[str], folder: Path, config: Resumable, log: Log) -> Iterator[Trackers]:
    """Inside, the epochs of which the log is told are given to the trackers."""
    trackers = Trackers(names, folder, config, log)
    log.listeners.append(trackers)
    try:
        yield trackers
    finally:
        log.listeners.remove(trackers)
        trackers.close()


def read_logged(path: Path) -> tuple[set[Logged], dict[tuple[str, str], str]]:
    """What an earlier start of the command has logged, and the ids of its runs by tracker and run."""
    logged, ids = set[Logged](), dict[tuple[str, str], str]()
    try:
        for line in read_regular(path, MAX_JSON_BYTES).decode().splitlines():
            entry = json.loads(line)
            if "id" in entry:
                ids[entry["tracker"], entry["run"]] = str(entry["id"])
            else:
                logged.add((entry["tracker"], entry["run"], entry["step"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # there is no such file, or its last line was cut off
    return logged, ids


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures by names like "ood/sketch/accuracy"; what is no number is left out."""
    figures: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            figures |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            figures[prefix + key] = value
    return figures


def flat_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON scalars: lists joined by commas, those that are not set left out."""
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None
    }
