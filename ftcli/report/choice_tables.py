"""The choices of a surgical run side by side, as tables: what each tuned, what it reached, what it differs by."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import BETWEEN, Layout, first_fitting, interval, new_table, percent, set_name, text
from ftcli.measures.types import Difference
from ftcli.report.types import Against, Choice

BAR = 24  # characters of the longest bar
EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def choice_tables(choices: Mapping[str, Choice], picked: str | UnsetType, width: int) -> list[RenderableType]:
    """Everything that is shown of a surgical run's choices besides their accuracy."""
    against = {name: choice.against for name, choice in choices.items() if choice.against is not UNSET}
    differing = [differences_table(against, width)] if against else []
    return [choices_table(choices, picked), *differing, *scores_tables(choices)]


def choices_table(choices: Mapping[str, Choice], picked: str | UnsetType) -> Table:
    """What each choice tuned, how it was picked, and how long it took."""
    rows = []
    for name, choice in choices.items():
        cells = ["diverged", "-", "-"]
        if (selected := choice.selected) and choice.results:
            rate = f"{selected.lr:g}" if selected.lr else "-"
            cells = [percent(choice.results.by_set()["id_val"].accuracy), rate, str(selected.epoch)]
        starred = name + ("*" if name == picked else "")
        rows.append([*map(text, (starred, f"{choice.trainable:,}", *cells, f"{choice.seconds:.1f}"))])
    layout = Layout(["choice", "tuned", "ID-val", "lr", "epoch", "seconds"], rows)
    caption = "* picked on ID-val (of the target); seconds: all runs of the choice"
    return layout.table("Choices", caption, left=("choice",))


def differences_table(against: Mapping[str, Against], width: int) -> Table:
    """Each choice minus the reference, by set, in percentage points."""
    first = next(iter(against.values()))
    heads = ["choice", *map(set_name, first.sets)]
    layouts = (
        Layout(heads, [[text(name), *difference_cells(other.sets, between)] for name, other in against.items()])
        for between in BETWEEN
    )
    title = f"Difference from {first.choice}, in percentage points"
    caption = "[low, high]: 95 % paired bootstrap over examples"
    return first_fitting(layouts, width).table(title, caption, left=("choice",))


def difference_cells(sets: Mapping[str, Difference], between: str) -> list[Text]:
    """A difference and its interval for each set."""
    return [Text(f"{100 * cell.difference:+.1f}{between}{interval(cell.ci95)}") for cell in sets.values()]


def scores_tables(choices: Mapping[str, Choice]) -> list[Table]:
    """For each choice made by gradients, a bar per block: the mean of its tensors' scores in the last epoch."""
    tables = []
    for name, choice in choices.items():
        if not choice.scores:
            continue
        last = choice.scores[0].epochs[-1].blocks or {}
        top = max(last.values()) or 1.0
        table = new_table(f"Scores of {name} in the last epoch", "mean over a block's tensors")
        table.add_column("block", overflow="fold")
        table.add_column("score", justify="right")
        table.add_column("")
        for block, score in last.items():
            table.add_row(text(block), f"{score:.3f}", bar(score / top))
        tables.append(table)
    return tables


def bar(share: float) -> str:
    """A bar of so much of the longest one, to an eighth of a character."""
    whole, rest = divmod(round(share * BAR * 8), 8)
    return "█" * whole + EIGHTHS[rest]
