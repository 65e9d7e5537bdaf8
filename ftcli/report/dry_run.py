"""What a run would be: the answer to `--dry-run`."""

import json
from typing import Any

from rich.text import Text

from ftcli.config.shared import resolved
from ftcli.config.training import Training
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import new_table, text
from ftcli.console.streams import Console
from ftcli.data.task import Task
from ftcli.model.loading.load import Loaded
from ftcli.report.build import describe_data
from ftcli.run_folder.request import command_of
from ftcli.text import counted


def plan_answer(config: Training, task: Task, loaded: Loaded, choices: dict[str, int]) -> Answer:
    """`--dry-run`: the resolved options, the counts of every set and the number of runs.

    choices: how many parameters may train under each choice, where there are choices to make.
    """
    command = command_of(config)
    single = command == "probe" and getattr(config, "solver", "") == "lbfgs"
    searches = sum(map(bool, choices.values())) if choices else 1
    runs = 1 if single else searches * len(config.lr) * len(config.seed_list())
    plan = {
        "command": command, "config": resolved(config), "model": loaded.name, "data": describe_data(task), "runs": runs,
    }  # fmt: skip
    if choices:
        plan["choices"] = choices
    each = "" if single else f" of {counted(config.epochs, 'epoch', 'epochs')} each"
    return Answer(plan, lambda out: show_plan(out, plan, each))


def show_plan(out: Console, plan: dict[str, Any], epochs: str) -> None:
    """The options that hold, the sets, and how much there is to do."""
    options = new_table(f"ftcli {plan['command']}, as it would run")
    options.add_column("option")
    options.add_column("value", overflow="fold")
    for name, value in plan["config"].items():
        if value is not None and value is not False and name != "dry_run":
            options.add_row(f"--{name.replace('_', '-')}", text(shown(value)))
    sets = new_table("Sets")
    for name in ("set", "images", "classes", "from"):
        sets.add_column(name, justify="left" if name in ("set", "from") else "right", overflow="fold")
    data, runs = plan["data"], plan["runs"]
    for name, one in {**{k: v for k, v in data.items() if k not in ("classes", "ood")}, **data["ood"]}.items():
        sets.add_row(text(name), str(one["n"]), str(one["classes"]), text(one["spec"]))
    choices = new_table("Choices")
    choices.add_column("choice", overflow="fold")
    choices.add_column("parameters that may train", justify="right")
    for choice, parameters in plan.get("choices", {}).items():
        choices.add_row(text(choice), f"{parameters:,}")
    last = Text(f"model {plan['model']}; {counted(runs, 'run', 'runs')}{epochs}")
    show_parts(out, [options, sets, *([choices] if choices.row_count else []), last])


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value) if isinstance(value, str | int | bool) else json.dumps(value)
