"""The choices of a surgical run side by side: what each tuned, what it reached, what it differs by."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, UnsetType
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import BETWEEN, Layout, first_fitting, interval, new_table, percent, set_name, text
from ftcli.engine.grid import Trained
from ftcli.engine.types import EpochScores, RunScores
from ftcli.measures.paired import bootstrap_difference, mcnemar
from ftcli.measures.results import Results, join_seeds
from ftcli.measures.types import Difference
from ftcli.model.block_names import model_blocks
from ftcli.model.blocks import Block
from ftcli.model.loading.load import Loaded
from ftcli.report.types import Against, Choice

BAR = 24  # characters of the longest bar
EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def describe_choices(
    trained: Trained, results: Mapping[str, Sequence[Results]], loaded: Loaded, merge: int | None
) -> dict[str, Choice]:
    """The report's `choices`. `results`: of the picks of each choice, one per seed; none of one that diverged. `merge`:
    the number of groups that the body's blocks are joined into, None for as they are.
    """
    blocks = model_blocks(loaded.model, merge).blocks
    sizes = {name: parameter.numel() for name, parameter in loaded.model.named_parameters()}
    reference = "all" if "all" in results else next(iter(results))
    described = {}
    for name, tried in trained.choices.items():
        moved = set(tried.trained_parameters)
        against = None
        if tried.picks and name != reference:
            against = Against(reference, differences(results[name], results[reference]))
        described[name] = Choice(
            blocks=[block.name for block in blocks if moved & set(block.tensors)],
            trainable=sum(sizes[tensor] for tensor in moved),
            selected=tried.best.selected() if tried.picks else None,
            results=join_seeds(results[name]) if tried.picks else None,
            seconds=round(tried.seconds, 3),
            scores=[by_block(scores, blocks) for scores in tried.scores] or UNSET,
            against=against or UNSET,
        )
    return described


def by_block(scores: RunScores, blocks: Sequence[Block]) -> RunScores:
    """The scores of one run, with the mean over each block's tensors for every epoch."""
    epochs = []
    for epoch in scores.epochs:
        tensors = epoch.tensors
        by_name = {block.name: [tensors[name] for name in block.tensors if name in tensors] for block in blocks}
        means = {name: fmean(values) for name, values in by_name.items() if values}
        epochs.append(EpochScores(epoch.epoch, tensors, means))
    return RunScores(scores.seed, scores.lr, epochs)


def differences(first: Sequence[Results], second: Sequence[Results]) -> dict[str, Difference]:
    """Accuracy of `first` minus `second` by set: the mean over seeds, its 95 % paired bootstrap interval over examples,
    and McNemar's p of the first seed that both have.
    """
    pairs = [(i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.seed == b.seed]
    i, j = pairs[0] if pairs else (0, 0)
    by_set = {}
    for name in first[0].predictions["set"].unique().to_pylist():
        a, b = correct_in(name, first), correct_in(name, second)  # [S, N] each
        mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
        by_set[name] = Difference(
            difference=float(mean_a.mean() - mean_b.mean()),
            ci95=bootstrap_difference(mean_a, mean_b),
            p=mcnemar(int((a[i] & ~b[j]).sum()), int((b[j] & ~a[i]).sum())),
        )
    return by_set


def correct_in(name: str, models: Sequence[Results]) -> np.ndarray:
    """Which examples of a set each model got right: boolean [S, N]."""
    tables: list[pa.Table] = [model.predictions.filter(pc.equal(model.predictions["set"], name)) for model in models]
    return np.stack([pc.equal(table["label"], table["predicted"]).to_numpy() for table in tables])


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
