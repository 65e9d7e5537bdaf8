"""Test-time adaptation of chosen blocks: TENT (Wang et al. 2021) and MEMO (Zhang et al. 2022), on each set apart.

No label is used but to count what was right, so nothing is selected and nothing is worth saving: there is one adapted
network for every choice and set.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from ftcli.config.adapting import Adapt
from ftcli.data.images import ImageSet
from ftcli.engine.device import Machine
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.engine.resume.passage import Passage
from ftcli.engine.tta.adapter import Adapter
from ftcli.engine.tta.stream import Stream
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.measures.accuracy import predictions
from ftcli.model.block_names import model_blocks
from ftcli.model.normalization import batch_norms, norm_tensors
from ftcli.processes import process_count

POINTS = 20  # of a curve


@dataclass(frozen=True)
class Adapted:
    """One choice on every set. Logits are [N, K], in the set's order."""

    tensors: tuple[str, ...]
    stream: dict[str, Tensor]  # the answers as they were given
    order: dict[str, np.ndarray]  # int64 [N], the examples as they came
    after: dict[str, Tensor]  # the answers of the weights at the end; online only
    seconds: float


def adapt(
    model: nn.Module, streams: Mapping[str, Stream], choices: Mapping[str, Sequence[str]], config: Adapt,
    machine: Machine, checkpointer: Checkpointer | None, log: Log,
) -> dict[str, Adapted]:  # fmt: skip
    """Every choice on every set, each from the weights that `model` has, and has again in the end."""
    adapted = {}
    for choice, names in choices.items():
        started, adapter = time.perf_counter(), Adapter(model, names, config, machine)
        given, orders, after = {}, {}, {}
        for name, stream in streams.items():
            passage = Passage(checkpointer, f"{choice} {name}", machine.device)
            given[name], order = adapter.along(stream, passage, log)
            orders[name] = order.numpy()
            if not config.episodic:
                again = passage.again
                after[name] = adapter.again(stream, log, f"{choice} {name}, again") if again is None else again
            passage.ended(after.get(name))
            adapter.restore()
        adapted[choice] = Adapted(tuple(names), given, orders, after, time.perf_counter() - started)
    return adapted


def chosen_tensors(model: nn.Module, config: Adapt, log: Log) -> dict[str, list[str]]:
    """Names of the tensors that adapt, by choice, in the order asked for; none of them under `none`.

    Raises RequestError where the method cannot work on this network, and for a choice with nothing to tune in it.
    """
    check(model, config)
    anatomy, allowed = model_blocks(model, config.merge), set(norm_tensors(model))
    found: dict[str, list[str]] = {}
    for word in config.blocks:
        for choice in anatomy.each() if word == "each" else [word]:
            tensors = [name for block in anatomy.select(choice) for name in block.tensors]
            names = [name for name in tensors if name in allowed] if config.norms_only else tensors
            if names or choice == "none":
                found[choice] = names
            elif word == "each":
                log.note(f"{choice} is left out: no normalisation layer with parameters is there")
            else:
                raise RequestError(
                    f"--blocks {choice}: no normalisation layer with parameters is there.",
                    "--tensors all, or --blocks all",
                )
    if not found:
        raise RequestError(
            f"--blocks each: {type(model).__name__} has no normalisation layer with parameters.", "--tensors all"
        )
    return found


def check(model: nn.Module, config: Adapt) -> None:
    """Raises RequestError where the method cannot work here."""
    if config.method == "tent" and not batch_norms(model):
        raise RequestError(
            f"--method tent goes by the statistics of a batch, and {type(model).__name__} has no BatchNorm.",
            "--method memo",
        )
    if process_count() > 1:
        raise RequestError(
            f"adapt takes one step after the other, and there are {process_count()} processes.",
            "start it as one process",
        )


def right(logits: Tensor, data: ImageSet) -> np.ndarray:
    """Which examples of a set are right [N] bool, among the classes that the set covers."""
    return predictions(logits.numpy(), data.restrict)[0] == data.labels


def curve(correct: np.ndarray) -> list[list[float]]:
    """[n, accuracy of the first n answers] at up to `POINTS` even points; correct [N] in the stream's order."""
    N = len(correct)
    points = sorted({-(-N * k // POINTS) for k in range(1, POINTS + 1)})
    return [[n, float(correct[:n].mean())] for n in points]
