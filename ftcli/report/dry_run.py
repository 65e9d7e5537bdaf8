"""What a run would be: the answer to `--dry-run`."""

import json
from typing import Any

from msgspec import UNSET, UnsetType
from rich.table import Table
from rich.text import Text

from ftcli.config.shared import resolved
from ftcli.config.training import Training
from ftcli.console.answer import Answer, show_parts
from ftcli.console.cells import Layout, text
from ftcli.console.overall import duration
from ftcli.console.streams import Console
from ftcli.data.task import Task
from ftcli.model.loading.load import Loaded
from ftcli.records import Foreign, Record
from ftcli.report.build import describe_data
from ftcli.report.types import Data
from ftcli.run_folder.options import command_of
from ftcli.safe_text import counted
from ftcli.time_estimate.types import TimedPart, TimeEstimate


class Plan(Record):
    """What would be run. `choices`: how many parameters may train under each, where there are choices to make."""

    command: str
    config: Foreign
    model: str
    data: Data
    runs: int
    choices: dict[str, int] | UnsetType = UNSET
    time: TimeEstimate | UnsetType = UNSET


def plan_answer(
    config: Training, task: Task, loaded: Loaded, choices: dict[str, int], time: TimeEstimate | None, no_time: str
) -> Answer:
    """`--dry-run`: the resolved options, the counts of every set, the number of runs, and an estimate of the time.

    choices: how many parameters may train under each choice, where there are choices to make. no_time: why there is no
    estimate.
    """
    command = command_of(config)
    single = command == "probe" and getattr(config, "solver", "") == "lbfgs"
    exact = single or command == "dfr"
    searches = sum(map(bool, choices.values())) if choices else 1
    runs = 1 if single else searches * (1 if exact else len(config.lr)) * len(config.seed_list())
    plan = Plan(
        command, resolved(config), loaded.name, describe_data(task, config), runs, choices or UNSET, time or UNSET
    )  # fmt: skip
    each = "" if exact else f" of {counted(config.epochs, 'epoch', 'epochs')} each"
    return Answer(plan.to_dict(), lambda out: show_plan(out, plan, each, no_time))


def show_plan(out: Console, plan: Plan, epochs: str, no_time: str) -> None:
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
    if plan.time is not UNSET:
        tables.append(time_table(plan.time))
    last = Text(f"model {plan.model}; {counted(plan.runs, 'run', 'runs')}{epochs}")
    show_parts(out, [*tables, last, Text(no_time if plan.time is UNSET else time_in_words(plan.time))])


def time_table(time: TimeEstimate) -> Table:
    """What the time goes into."""
    rows = [
        [*map(text, (name_of(part), f"{part.count:,} × {part.unit}", exact(part.seconds_each), exact(part.seconds)))]
        for part in time.parts
    ]
    return Layout(["part", "count", "seconds each", "seconds"], rows).table("Time", left=("part", "count"))


def name_of(part: TimedPart) -> str:
    return part.name if part.choice is UNSET else f"{part.choice}: {part.name}"


def exact(seconds: float) -> str:
    """Seconds with two digits that count."""
    return f"{seconds:,.0f}" if seconds >= 10 else f"{float(f'{seconds:.2g}'):g}"


def time_in_words(time: TimeEstimate) -> str:
    """The estimate in a sentence, and what it is made from."""
    span = f"about {duration(time.seconds)} (between {duration(time.low)} and {duration(time.high)})"
    work = []
    if time.runs:
        of_steps = [part for part in time.parts if part.unit == "step"]
        per_step = sum(part.seconds for part in of_steps) / (sum(part.count for part in of_steps) or 1)
        in_all = "" if time.epochs_in_all is UNSET else " (between {} and {} epochs in all)".format(*time.epochs_in_all)
        work.append(
            f"{counted(time.runs, 'run', 'runs')} of {counted(time.epochs, 'epoch', 'epochs')} of "
            f"{counted(time.steps, 'step', 'steps')} at {exact(per_step)} s each{in_all}"
        )
    if any(part.name == "exact probe" for part in time.parts):
        work.append("an exact probe")
    if time.models:
        work.append(f"{counted(time.models, 'model', 'models')} evaluated on every set")
    out = f"; without {' and '.join(time.left_out)}" if time.left_out else ""
    return f"{span}: {', '.join(work)}; measured on {counted(time.images, 'training image', 'training images')}{out}"


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value) if isinstance(value, str | int | bool) else json.dumps(value)
