"""Test-time adaptation as a table: for each choice and set, accuracy before, along the stream, and after."""

from collections.abc import Mapping

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import Layout, first_fitting, percent, set_name, text
from ftcli.report.types import Choice

LEVELS = "▁▂▃▄▅▆▇█"
HEADS = ("choice", "tuned", "set", "before", "stream", "after", "so far", "seconds")
COLUMNS_TO_DROP = (
    (),
    ("so far",),
    ("so far", "seconds"),
    ("so far", "seconds", "tuned"),
)  # what a narrow terminal does without


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
    for set_ in choice.results.without_labels() if choice.results else ():
        rows.append([*begins, text(set_name(set_)), *map(text, "----"), ends])
        begins, ends = (text(""), text("")), text("")
    return rows


def sparkline(values: list[float]) -> str:
    """A line of as many characters, from the lowest value to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(LEVELS[round((value - low) / span * (len(LEVELS) - 1))] for value in values)
