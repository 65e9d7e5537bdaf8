"""What goes to stdout when a command ends: the tables, or the JSON and nothing else."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from ftcli.config import Training, resolved
from ftcli.data.task import Task
from ftcli.model.load import Loaded
from ftcli.report.build import describe_data
from ftcli.report.cells import new_table, text
from ftcli.report.folder import as_json as to_json
from ftcli.report.tables import tables


def console() -> Console:
    """stdout for tables: colour only on a terminal, 100 columns where nobody says how wide."""
    out = Console(highlight=False, markup=False, emoji=False)
    return (
        out
        if out.is_terminal or "COLUMNS" in out._environ
        else Console(highlight=False, markup=False, emoji=False, width=100)
    )


def show(report: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    """A report on stdout, and below the tables where it was put."""
    if as_json:
        sys.stdout.write(to_json(report))
        return
    out = console()
    show_parts(out, tables(report, out.width))
    if folder:
        out.print(text(f"saved in {folder}"), soft_wrap=True)


def show_parts(out: Console, parts: list[RenderableType]) -> None:
    """One part after another; lines of words are left whole, for the terminal to wrap."""
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text))


def show_plan(command: str, config: Training, task: Task, loaded: Loaded) -> None:
    """`--dry-run`: the resolved options, the counts of every set and the number of runs."""
    single = command == "probe" and getattr(config, "solver", "") == "lbfgs"
    runs = 1 if single else len(config.lr) * len(config.seed_list())
    data = describe_data(task)
    if config.json:
        plan = {"command": command, "config": resolved(config), "model": loaded.name, "data": data, "runs": runs}
        sys.stdout.write(to_json(plan))
        return
    out = console()
    options = new_table(f"ftcli {command}, as it would run")
    options.add_column("option")
    options.add_column("value", overflow="fold")
    for name, value in resolved(config).items():
        if value not in (None, False):
            options.add_row(f"--{name.replace('_', '-')}", text(shown(value)))
    sets = new_table("Sets")
    for name in ("set", "images", "classes", "from"):
        sets.add_column(name, justify="left" if name in ("set", "from") else "right", overflow="fold")
    for name, one in {**{k: v for k, v in data.items() if k not in ("classes", "ood")}, **data["ood"]}.items():
        sets.add_row(text(name), str(one["n"]), str(one["classes"]), text(one["spec"]))
    epochs = "" if single else f" of {config.epochs} epochs each"
    show_parts(out, [options, sets, Text(f"model {loaded.name}; {runs} {'run' if runs == 1 else 'runs'}{epochs}")])


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value) if isinstance(value, str | int | bool) else json.dumps(value)
