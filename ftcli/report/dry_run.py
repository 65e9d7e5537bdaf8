"""What a run would be: the answer to `--dry-run`."""

import json
from typing import Any

from msgspec import UNSET, UnsetType
from rich.text import Text

from ftcli.config.shared import resolved
from ftcli.config.training import Training
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import Layout, text
from ftcli.console.streams import Console
from ftcli.data.task import Task
from ftcli.model.loading.load import Loaded
from ftcli.records import Foreign, Record
from ftcli.report.build import describe_data
from ftcli.report.types import Data
from ftcli.run_folder.request import command_of
from ftcli.safe_text import counted


class Plan(Record):
    """What would be run. `choices`: how many parameters may train under each, where there are choices to make."""

    command: str
    config: Foreign
    model: str
    data: Data
    runs: int
    choices: dict[str, int] | UnsetType = UNSET


def plan_answer(config: Training, task: Task, loaded: Loaded, choices: dict[str, int]) -> Answer:
    """`--dry-run`: the resolved options, the counts of every set and the number of runs.

    choices: how many parameters may train under each choice, where there are choices to make.
    """
    command = command_of(config)
    single = command == "probe" and getattr(config, "solver", "") == "lbfgs"
    searches = sum(map(bool, choices.values())) if choices else 1
    runs = 1 if single else searches * len(config.lr) * len(config.seed_list())
    plan = Plan(command, resolved(config), loaded.name, describe_data(task), runs, choices or UNSET)
    each = "" if single else f" of {counted(config.epochs, 'epoch', 'epochs')} each"
    return Answer(plan.to_dict(), lambda out: show_plan(out, plan, each))


def show_plan(out: Console, plan: Plan, epochs: str) -> None:
    """The options that hold, the sets, and how much there is to do."""
    options = [
        [text(f"--{name.replace('_', '-')}"), text(shown(value))]
        for name, value in plan.config.items()
        if value is not None and value is not False and name != "dry_run"
    ]
    heads = ["option", "value"]
    sets = [
        [*map(text, (name, str(data.n), str(data.classes), data.spec))] for name, data in plan.data.by_set().items()
    ]
    choices = [] if plan.choices is UNSET else [[text(name), text(f"{n:,}")] for name, n in plan.choices.items()]
    tables = [
        Layout(heads, options).table(f"ftcli {plan.command}, as it would run", left=heads),
        Layout(["set", "images", "classes", "from"], sets).table("Sets", left=("set", "from")),
    ]
    if choices:
        tables.append(Layout(["choice", "parameters that may train"], choices).table("Choices", left=("choice",)))
    last = Text(f"model {plan.model}; {counted(plan.runs, 'run', 'runs')}{epochs}")
    show_parts(out, [*tables, last])


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value) if isinstance(value, str | int | bool) else json.dumps(value)
