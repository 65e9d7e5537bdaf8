"""A list of runs as a table for a terminal, CSV and Markdown. Fractions in CSV, per cent elsewhere."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from rich.table import Table

from ftcli.console.cells import Layout, first_fitting, percent, text
from ftcli.formats.csv_table import csv_table
from ftcli.formats.markdown import escape_markdown, markdown_list, markdown_table
from ftcli.run_list.summary import RunSummary
from ftcli.safe_text import counted

HEADS = ["folder", "command", "model", "pick", "ID-val", "OOD mean", "seeds", "state", "date (UTC)"]
LESS_NEEDED = ("model", "seeds", "date (UTC)", "pick")  # columns, in the order in which a narrow terminal loses them
WORDS = ("folder", "command", "model", "pick", "state", "date (UTC)")  # columns of words
LEFT_OUT = "a wider terminal, --format and --json show more"


def runs_csv(runs: Sequence[RunSummary]) -> str:
    """One line for each run; fractions."""
    return csv_table([field.name for field in fields(RunSummary)], map(asdict, runs))


def runs_markdown(runs: Sequence[RunSummary], folder: str) -> str:
    """One row for each run, and what cannot be read; per cent."""
    table = markdown_table(HEADS, [cells(run, folder) for run in runs], left=len(HEADS))
    return (
        "\n\n".join(filter(None, [escape_markdown(title(runs, folder)), table, markdown_list(problems(runs))])) + "\n"
    )


def runs_table(runs: Sequence[RunSummary], folder: str, width: int) -> Table:
    """A row for each run, with the columns that a terminal of `width` characters has room for."""
    whole = Layout(HEADS, [[*map(text, cells(run, folder))] for run in runs])
    layout = first_fitting(narrower(whole), width)
    caption = LEFT_OUT if len(layout.heads) < len(HEADS) else ""
    return layout.table(title(runs, folder), caption, left=WORDS)


def problems(runs: Sequence[RunSummary]) -> list[str]:
    """A line for every folder or file that cannot be read."""
    return [f"{run.folder}: {run.problem}" for run in runs if run.problem]


def narrower(layout: Layout) -> Iterator[Layout]:
    """The same rows with all columns, then with fewer and fewer."""
    for count in range(len(LESS_NEEDED) + 1):
        yield layout.without(LESS_NEEDED[:count])


def title(runs: Sequence[RunSummary], folder: str) -> str:
    """How many runs there are, and how many of them are not finished."""
    states = [run.state for run in runs]
    others = [f"{states.count(state)} {state}" for state in dict.fromkeys(states) if state != "finished"]
    unit = "; accuracies in per cent" if "finished" in states else ""
    counts = f" ({', '.join(others)})" if others else ""
    return f"{counted(len(runs), 'run', 'runs')} in {folder}{counts}{unit}"


def cells(run: RunSummary, folder: str) -> list[str]:
    """One run in words, its folder from `folder` on."""
    name = os.path.relpath(run.folder, folder)
    accuracies = ["-" if value is None else percent(value) for value in (run.id_val, run.ood_mean)]
    date = run.date[:16].replace("T", " ") if run.date else "-"
    seeds = "-" if run.seeds is None else str(run.seeds)
    return [name, run.command or "-", run.model or "-", pick(run), *accuracies, seeds, state(run), date]


def pick(run: RunSummary) -> str:
    """What was picked: the choice, and C or rate and epoch."""
    words = [run.choice] if run.choice else []
    words += [f"C {run.C:.3g}"] if run.C is not None else []
    words += [f"lr {run.lr:g}"] if run.lr is not None else []
    words += [f"epoch {run.epoch}"] if run.epoch is not None else []
    return ", ".join(words) or "-"


def state(run: RunSummary) -> str:
    """Finished or not, and how far."""
    planned = f" of {run.runs_planned}" if run.runs_planned else ""
    words = [] if run.runs_finished is None else [f"{run.runs_finished}{planned} runs"]
    if run.epochs_finished is not None:
        words.append(f"epoch {run.epochs_finished}" + (f" of {run.epochs}" if run.epochs else ""))
    return f"{run.state}: {', '.join(words)}" if words else run.state
