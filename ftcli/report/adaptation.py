"""Test-time adaptation in a report: for each choice and set, accuracy before, along the stream, and after."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import nn

from ftcli.config.adapting import Adapt
from ftcli.console.cells import SET_NAMES, new_table, percent, table_width, text
from ftcli.data.task import Task
from ftcli.measures.results import Results
from ftcli.measures.stream_accuracy import accuracy_curve, correct_predictions
from ftcli.methods.adapt import Adapted
from ftcli.model.block_names import model_blocks

LEVELS = "▁▂▃▄▅▆▇█"
HEADS = ("choice", "tuned", "set", "before", "stream", "after", "so far", "seconds")
NARROWER = (
    (),
    ("so far",),
    ("so far", "seconds"),
    ("so far", "seconds", "tuned"),
)  # what a narrow terminal does without


def adaptation_choices(
    adapted: Mapping[str, Adapted], results: Mapping[str, Results], before: Results, task: Task, model: nn.Module,
    config: Adapt,
) -> dict[str, Any]:  # fmt: skip
    """The report's `choices`. `results`: of the answers along the stream, by choice."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    blocks = model_blocks(model, config.merge).blocks
    return {
        choice: {
            "blocks": [block.name for block in blocks if set(one.tensors) & set(block.tensors)],
            "trainable": sum(sizes[name] for name in one.tensors),
            "tensors": "norm" if config.norms_only else "all",
            "mode": "episodic" if config.episodic else "online",
            "results": results[choice].figures,
            "adaptation": describe_sets(one, results[choice], before, task),
            "seconds": round(one.seconds, 3),
        }
        for choice, one in adapted.items()
    }


def describe_sets(one: Adapted, results: Results, before: Results, task: Task) -> dict[str, Any]:
    """Accuracies of one choice by set. Where every piece starts anew there are no weights to go back with: `after` is
    what the stream gave.
    """
    described = {}
    for name, data in task.sets().items():
        as_given = correct_predictions(one.stream[name], data)  # [N]
        after = correct_predictions(one.after[name], data) if name in one.after else as_given
        described[name] = {
            "before": accuracy_of(before, name),
            "stream": accuracy_of(results, name),
            "after": float(after.mean()),
            "curve": accuracy_curve(as_given[one.order[name]]),
        }
    return described


def accuracy_of(results: Results, name: str) -> float:
    return {**results.figures, **results.figures["ood"]}[name]["accuracy"]


def adaptation_table(report: dict[str, Any], width: int) -> Table:
    """What each choice reaches on each set, and how it goes along the stream; less of it on a narrow terminal."""
    choices, config = report["choices"], report["config"]
    mode = next(iter(choices.values()))["mode"]
    after = "by the last weights" if mode == "online" else "the same, as each starts anew"
    rows = [row for choice, one in choices.items() for row in adaptation_rows(choice, one)]
    for left_out in NARROWER:
        kept = [i for i, head in enumerate(HEADS) if head not in left_out]
        heads, cells = [HEADS[i] for i in kept], [[row[i] for i in kept] for row in rows]
        if table_width(heads[1:], cells) <= width:
            break
    so_far = "; so far: from the first answers to all" if "so far" in heads else ""
    table = new_table(
        f"{config['method'].upper()}, {mode}: accuracy in per cent", f"stream: answers as given; after: {after}{so_far}"
    )
    for head in heads:
        table.add_column(head, justify="left" if head in ("choice", "set", "so far") else "right", overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def adaptation_rows(choice: str, one: dict[str, Any]) -> list[list[Text]]:
    """A row for each set of a choice; what holds for all of them is said once."""
    begins, ends = (text(choice), text(f"{one['trainable']:,}")), text(f"{one['seconds']:.1f}")
    rows = []
    for name, entry in one["adaptation"].items():
        figures = [text(percent(entry[key])) for key in ("before", "stream", "after")]
        line = text(drawn([accuracy for _, accuracy in entry["curve"]]))
        rows.append([*begins, text(SET_NAMES.get(name, name)), *figures, line, ends])
        begins, ends = (text(""), text("")), text("")
    return rows


def drawn(values: list[float]) -> str:
    """A line of as many characters, from the lowest value to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(LEVELS[round((value - low) / span * (len(LEVELS) - 1))] for value in values)
