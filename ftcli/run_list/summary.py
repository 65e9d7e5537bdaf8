"""One run folder in a line: command, model, pick, accuracies, and how far an unfinished run is.

Of a report only what the line shows is read, so that thousands take seconds; `ftcli report` checks all of it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftcli.engine.types import Selected
from ftcli.files import read_beginning, read_regular
from ftcli.limits import MAX_HEADER_BYTES, MAX_JSON_BYTES, MAX_REPORT_BYTES
from ftcli.records import Count, Fraction
from ftcli.run_folder.find import Found, find_runs
from ftcli.run_folder.names import REPORT, REQUEST, STATE
from ftcli.safe_text import printable, reason, shortened

SCHEMA = "ftcli/runs/1"
LENGTH = struct.Struct("<Q")  # at the beginning of a safetensors file: bytes of its header


@dataclass(frozen=True)
class RunSummary:
    """One line of the list. Accuracies are fractions; what a run does not have, or has not yet, is None.

    lr, C, epoch, seed, choice: of the pick. seeds: how many. date: when the report was written, ISO 8601, or when an
    unfinished run last saved its state. Of an unfinished run: runs_finished of runs_planned, where that is known, and
    of the run it is at epochs_finished of epochs. problem: of a folder or file that cannot be read.
    """

    folder: str
    state: Literal["finished", "unfinished", "damaged", "unreadable"]
    command: str | None = None
    model: str | None = None
    choice: str | None = None
    lr: float | None = None
    C: float | None = None
    epoch: int | None = None
    seed: int | None = None
    id_val: float | None = None
    ood_mean: float | None = None
    seeds: int | None = None
    date: str | None = None
    runs_finished: int | None = None
    runs_planned: int | None = None
    epochs_finished: int | None = None
    epochs: int | None = None
    problem: str | None = None


class Part(msgspec.Struct):
    """What a line shows of an object in a report."""


class Accuracy(Part):
    accuracy: Fraction


class Model(Part):
    name: str


class Results(Part):
    id_val: Accuracy | None = None
    ood_mean: Accuracy | None = None


class ReportLine(Part):
    """What a line shows of a report."""

    schema: Annotated[str, Meta(pattern="^ftcli/report/1$")]
    command: str
    created: str
    model: Model | None = None
    selected: Selected | None = None
    results: Results | None = None
    seeds: list[msgspec.Raw] | None = None


class RequestLine(Part):
    """What a line shows of the request of an unfinished run."""

    command: str
    options: dict[str, Any]
    models: list[Model]


class Position(Part):
    finished: bool
    epochs: Count


class StateValues(Part):
    position: Position | None = None


class Metadata(Part):
    state: str


class Header(Part):
    """The header of a saved state: a safetensors file."""

    metadata: Metadata = msgspec.field(name="__metadata__")


def list_runs(root: Path) -> list[RunSummary]:
    """A line for every run in a folder and below it, sorted by path. Raises RequestError as `find_runs` does."""
    return [summary_of(found) for found in find_runs(root)]


def summary_of(found: Found) -> RunSummary:
    """The line of one folder. A report or request that cannot be read is said in it."""
    folder = str(found.folder)
    if found.kind == "unreadable":
        return RunSummary(folder, "unreadable", problem=found.problem)
    file = found.folder / REPORT if found.kind == "finished" else found.folder / STATE / REQUEST
    try:
        return finished(folder, file) if found.kind == "finished" else unfinished(folder, file)
    except OSError as error:
        if found.kind == "unfinished" and (found.folder / REPORT).exists():  # it has just finished
            return summary_of(replace(found, kind="finished"))
        problem = f"{file.name} cannot be read: {error.strerror or reason(error)}"
    except (ValueError, RecursionError) as error:  # among them all of msgspec's
        problem = f"{file.name} is not as ftcli writes it: {reason(error)}"
    return RunSummary(folder, "damaged", problem=printable(problem))


def finished(folder: str, file: Path) -> RunSummary:
    """The line of a report."""
    report = msgspec.json.decode(read_regular(file, MAX_REPORT_BYTES), type=ReportLine)
    results, pick = report.results or Results(), report.selected
    choice = pick.choice if pick and pick.choice is not msgspec.UNSET else None
    of_pick: dict[str, Any] = {name: getattr(pick, name) for name in ("lr", "C", "epoch", "seed")} if pick else {}
    return RunSummary(
        folder, "finished", shortened(report.command), shortened(report.model.name) if report.model else None,
        shortened(choice) if choice else None, **of_pick,
        id_val=accuracy_of(results.id_val), ood_mean=accuracy_of(results.ood_mean),
        seeds=len(report.seeds) if report.seeds else 1 if report.results else None, date=shortened(report.created),
    )  # fmt: skip


def accuracy_of(entry: Accuracy | None) -> float | None:
    return entry.accuracy if entry else None


def unfinished(folder: str, file: Path) -> RunSummary:
    """The line of a request and of the saved states beside it."""
    request = msgspec.json.decode(read_regular(file, MAX_JSON_BYTES), type=RequestLine)
    positions = list(saved_positions(file.parent))
    at = next((one for one in positions if not one.finished), None)
    epochs, seeds = request.options.get("epochs"), number_of_seeds(request.options)
    last = max((path.stat().st_mtime for path in file.parent.iterdir()), default=0.0)
    return RunSummary(
        folder, "unfinished", shortened(request.command),
        shortened(request.models[0].name) if request.models else None, seeds=seeds,
        date=datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds"),
        runs_finished=sum(one.finished for one in positions) if positions else None,
        runs_planned=number_of_runs(request, seeds),
        epochs_finished=at.epochs if at else None,
        epochs=epochs if at and isinstance(epochs, int) else None,
    )  # fmt: skip


def saved_positions(state: Path) -> Iterator[Position]:
    """How far each run is whose state is saved. One that is being replaced, or is no state of a run, is left out."""
    for path in sorted(state.glob("*.safetensors")):
        length = read_beginning(path, LENGTH.size)
        if len(length) < LENGTH.size or LENGTH.unpack(length)[0] > MAX_HEADER_BYTES:
            continue
        header = read_beginning(path, LENGTH.size + LENGTH.unpack(length)[0])[LENGTH.size :]
        try:
            values = msgspec.json.decode(msgspec.json.decode(header, type=Header).metadata.state, type=StateValues)
        except (ValueError, RecursionError):
            continue
        if values.position:
            yield values.position


def number_of_seeds(options: dict[str, Any]) -> int:
    """The seeds of a request: a list of them, one, or how many."""
    seed, seeds = options.get("seed"), options.get("seeds")
    if isinstance(seed, list):
        return len(seed)
    return seeds if isinstance(seeds, int) else 1


def number_of_runs(request: RequestLine, seeds: int) -> int | None:
    """How many runs a request is; None of a command that tries several choices, or has no grid."""
    rates = request.options.get("lr")
    return len(rates) * seeds if isinstance(rates, list) and request.command in ("finetune", "lpft") else None
