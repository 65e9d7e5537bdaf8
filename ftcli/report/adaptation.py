"""Test-time adaptation in a report: for each choice and set, accuracy before, along the stream, and after."""

from collections.abc import Mapping

from msgspec import UNSET
from rich.table import Table
from rich.text import Text
from torch import nn

from ftcli.config.adapting import Adapt
from ftcli.console.cells import Layout, first_fitting, percent, set_name, text
from ftcli.data.task import Task
from ftcli.measures.results import Results
from ftcli.measures.stream_accuracy import accuracy_curve, correct_predictions
from ftcli.methods.adapt import Adapted
from ftcli.model.block_names import model_blocks
from ftcli.report.types import Adaptation, Choice, CurvePoint

LEVELS = "▁▂▃▄▅▆▇█"
HEADS = ("choice", "tuned", "set", "before", "stream", "after", "so far", "seconds")
COLUMNS_TO_DROP = (
    (),
    ("so far",),
    ("so far", "seconds"),
    ("so far", "seconds", "tuned"),
)  # what a narrow terminal does without


def adaptation_choices(
    adapted: Mapping[str, Adapted], results: Mapping[str, Results], before: Results, task: Task, model: nn.Module,
    config: Adapt,
) -> dict[str, Choice]:  # fmt: skip
    """The report's `choices`. `results`: of the answers along the stream, by choice."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    blocks = model_blocks(model, config.merge).blocks
    return {
        name: Choice(
            blocks=[block.name for block in blocks if set(choice.tensors) & set(block.tensors)],
            trainable=sum(sizes[tensor] for tensor in choice.tensors),
            tensors="norm" if config.norms_only else "all",
            mode="episodic" if config.episodic else "online",
            results=results[name].figures,
            adaptation=adaptation_by_set(choice, results[name], before, task),
            seconds=round(choice.seconds, 3),
        )
        for name, choice in adapted.items()
    }


def adaptation_by_set(adapted: Adapted, results: Results, before: Results, task: Task) -> dict[str, Adaptation]:
    """Accuracies of one choice. Episodic adaptation leaves no weights to measure: `after` is what the stream gave."""
    by_set = {}
    for name, data in task.sets().items():
        correct = correct_predictions(adapted.stream[name], data)  # [N]
        after = correct_predictions(adapted.after[name], data) if name in adapted.after else correct
        by_set[name] = Adaptation(
            before=before.figures.by_set()[name].accuracy,
            stream=results.figures.by_set()[name].accuracy,
            after=float(after.mean()),
            curve=[CurvePoint(int(n), accuracy) for n, accuracy in accuracy_curve(correct[adapted.order[name]])],
        )
    return by_set


def adaptation_table(choices: Mapping[str, Choice], method: str, width: int) -> Table:
    """What each choice reaches on each set, and how it goes along the stream; less of it on a narrow terminal."""
    mode = next(iter(choices.values())).mode
    whole = Layout([*HEADS], [row for name, choice in choices.items() for row in adaptation_rows(name, choice)])
    layout = first_fitting(map(whole.without, COLUMNS_TO_DROP), width)
    after = "with the final weights" if mode == "online" else "the same, as weights are reset"
    so_far = "; so far: accuracy of the first predictions, up to all" if "so far" in layout.heads else ""
    return layout.table(
        f"{method.upper()}, {mode}: accuracy in per cent",
        f"stream: predictions while adapting; after: {after}{so_far}",
        left=("choice", "set", "so far"),
    )


def adaptation_rows(name: str, choice: Choice) -> list[list[Text]]:
    """A row for each set of a choice; what holds for all of them is in the first row only."""
    assert choice.adaptation is not UNSET
    begins, ends = (text(name), text(f"{choice.trainable:,}")), text(f"{choice.seconds:.1f}")
    rows = []
    for set_, entry in choice.adaptation.items():
        accuracies = [text(percent(value)) for value in (entry.before, entry.stream, entry.after)]
        line = text(sparkline([point.accuracy for point in entry.curve]))
        rows.append([*begins, text(set_name(set_)), *accuracies, line, ends])
        begins, ends = (text(""), text("")), text("")
    return rows


def sparkline(values: list[float]) -> str:
    """A line of as many characters, from the lowest value to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(LEVELS[round((value - low) / span * (len(LEVELS) - 1))] for value in values)
