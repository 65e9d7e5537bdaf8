"""The choices of a surgical run in its report: what each tuned, what it reached, what it differs by."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from ftcli.engine.grid import Trained
from ftcli.engine.types import EpochScores, RunScores
from ftcli.measures.paired import bootstrap_difference, mcnemar
from ftcli.measures.results import Results, join_seeds
from ftcli.measures.types import Difference
from ftcli.model.block_names import model_blocks
from ftcli.model.blocks import Block
from ftcli.model.loading.load import Loaded
from ftcli.report.types import Against, Choice


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
    """Accuracy of `first` minus `second` by set with labels: the mean over seeds, its 95 % paired bootstrap interval
    over examples, and McNemar's p of the first seed that both have.
    """
    pairs = [(i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.seed == b.seed]
    i, j = pairs[0] if pairs else (0, 0)
    by_set = {}
    for name in first[0].figures.by_set():
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
