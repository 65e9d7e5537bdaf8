"""The choices of a surgical run side by side: what each tuned, what it reached, what it differs by."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import SET_NAMES, interval, new_table, percent, table_width, text
from ftcli.engine.grid import Trained
from ftcli.measures.paired import bootstrap_difference, mcnemar
from ftcli.measures.results import Results, join_seeds
from ftcli.model.block_names import model_blocks
from ftcli.model.blocks import Block
from ftcli.model.loading.load import Loaded

BAR = 24  # characters of the longest bar
EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def describe_choices(
    trained: Trained, results: Mapping[str, list[Results]], loaded: Loaded, merge: int | None
) -> dict[str, Any]:
    """The report's `choices`. `results`: of the picks of each choice, one per seed; none of one that diverged. `merge`:
    the number of groups that the body's blocks are joined into, None for as they are.
    """
    blocks = model_blocks(loaded.model, merge).blocks
    sizes = {name: parameter.numel() for name, parameter in loaded.model.named_parameters()}
    reference = "all" if "all" in results else next(iter(results))
    described: dict[str, Any] = {}
    for choice, part in trained.choices.items():
        moved = set(part.moved)
        described[choice] = {
            "blocks": [block.name for block in blocks if moved & set(block.tensors)],
            "trainable": sum(sizes[name] for name in moved),
            "selected": part.best.describe() if part.picks else None,
            "results": join_seeds(results[choice]) if part.picks else None,
            "seconds": round(part.seconds, 3),
        }
        if part.scores:
            described[choice]["scores"] = [by_block(one, blocks) for one in part.scores]
        if part.picks and choice != reference:
            sets = differences(results[choice], results[reference])
            described[choice]["against"] = {"choice": reference, "sets": sets}
    return described


def by_block(scores: dict[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    """The scores of one run, with the mean over each block's tensors beside those of every epoch."""
    epochs = []
    for epoch in scores["epochs"]:
        of = {
            block.name: [epoch["tensors"][name] for name in block.tensors if name in epoch["tensors"]]
            for block in blocks
        }
        epochs.append(epoch | {"blocks": {name: fmean(values) for name, values in of.items() if values}})
    return scores | {"epochs": epochs}


def differences(first: Sequence[Results], second: Sequence[Results]) -> dict[str, Any]:
    """Accuracy of `first` minus `second` by set: the mean over seeds, its 95 % paired bootstrap interval over examples,
    and McNemar's p of the first seed that both have.
    """
    pairs = [(i, j) for i, one in enumerate(first) for j, other in enumerate(second) if one.seed == other.seed]
    i, j = pairs[0] if pairs else (0, 0)
    found = {}
    for name in first[0].predictions["set"].unique().to_pylist():
        ours, theirs = right_in(name, first), right_in(name, second)  # [S, N] each
        one, other = ours.mean(axis=0), theirs.mean(axis=0)
        found[name] = {
            "difference": float(one.mean() - other.mean()),
            "ci95": bootstrap_difference(one, other),
            "p": mcnemar(int((ours[i] & ~theirs[j]).sum()), int((theirs[j] & ~ours[i]).sum())),
        }
    return found


def right_in(name: str, models: Sequence[Results]) -> np.ndarray:
    """What each model got right in a set: boolean [S, N]."""
    tables: list[pa.Table] = [model.predictions.filter(pc.equal(model.predictions["set"], name)) for model in models]
    return np.stack([pc.equal(table["label"], table["predicted"]).to_numpy() for table in tables])


def choices_table(report: dict[str, Any]) -> Table:
    """What each choice tuned, how it was picked, and how long it took."""
    kept = report["selected"]["choice"]
    table = new_table("Choices", "* picked on ID-val, which is the target's; seconds: of its whole search")
    for head in ("choice", "tuned", "ID-val", "lr", "epoch", "seconds"):
        table.add_column(head, justify="left" if head == "choice" else "right", overflow="fold")
    for choice, one in report["choices"].items():
        name, selected = text(choice + ("*" if choice == kept else "")), one["selected"]
        cells = ["diverged", "-", "-"]
        if selected:
            rate = f"{selected['lr']:g}" if selected["lr"] else "-"
            cells = [percent(one["results"]["id_val"]["accuracy"]), rate, str(selected["epoch"])]
        table.add_row(name, f"{one['trainable']:,}", *cells, f"{one['seconds']:.1f}")
    return table


def differences_table(report: dict[str, Any], width: int) -> Table | None:
    """Each choice minus the one that it is held against, by set, in percentage points; cells on two lines where one
    would be too wide.
    """
    held = {choice: one["against"] for choice, one in report["choices"].items() if "against" in one}
    if not held:
        return None
    reference = next(iter(held.values()))["choice"]
    table = new_table(
        f"Difference from {reference}, in percentage points", "[low, high]: 95 % paired bootstrap over examples"
    )
    sets = [SET_NAMES.get(name, name) for name in next(iter(held.values()))["sets"]]
    for between in (" ", "\n"):
        rows = [[text(choice), *differing_cells(one["sets"], between)] for choice, one in held.items()]
        if table_width(sets, rows) <= width:
            break
    table.add_column("choice", overflow="fold")
    for name in sets:
        table.add_column(text(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def differing_cells(sets: dict[str, Any], between: str) -> list[Text]:
    """A difference and its interval for each set."""
    return [Text(f"{100 * cell['difference']:+.1f}{between}{interval(cell['ci95'])}") for cell in sets.values()]


def scores_tables(report: dict[str, Any]) -> list[Table]:
    """For each choice made by gradients, a bar per block: the mean of its tensors' scores in the last epoch."""
    tables = []
    for choice, one in report["choices"].items():
        if not one.get("scores"):
            continue
        last = one["scores"][0]["epochs"][-1]["blocks"]
        top = max(last.values()) or 1.0
        table = new_table(f"Scores of {choice} in the last epoch", "mean over a block's tensors")
        table.add_column("block", overflow="fold")
        table.add_column("score", justify="right")
        table.add_column("")
        for name, score in last.items():
            table.add_row(text(name), f"{score:.3f}", bar(score / top))
        tables.append(table)
    return tables


def bar(share: float) -> str:
    """A bar of so much of the longest one, to an eighth of a character."""
    whole, rest = divmod(round(share * BAR * 8), 8)
    return "█" * whole + EIGHTHS[rest]


def choice_tables(report: dict[str, Any], width: int) -> list[RenderableType]:
    """Everything that is shown of a surgical run's choices beside their accuracy."""
    differing = differences_table(report, width)
    return [choices_table(report), *([differing] if differing else []), *scores_tables(report)]
