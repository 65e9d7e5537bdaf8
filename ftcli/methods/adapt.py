"""Test-time adaptation of chosen blocks: TENT (Wang et al. 2021) and MEMO (Zhang et al. 2022), on each set by itself.

Labels serve to count correct predictions only, so nothing is selected and no model is saved: every choice and set has
an adapted network of its own.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from ftcli.config.adapting import Adapt
from ftcli.engine.device import Machine
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.engine.tta.adapter import RULES, Adapter
from ftcli.engine.tta.batches import Stream
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.block_names import model_blocks
from ftcli.model.normalization import batch_norms, norm_tensors
from ftcli.processes import process_count
from ftcli.workload import BACKWARD, PASS, STEP, Loop, SearchWork


@dataclass(frozen=True)
class Adapted:
    """One choice of tensors on every set. Logits are [N, K], in the set's order."""

    tensors: tuple[str, ...]
    stream: dict[str, Tensor]  # the logits as they were predicted along the stream
    order: dict[str, np.ndarray]  # int64 [N], which example of the set came when
    after: dict[str, Tensor]  # the logits by the weights at the end; online only
    seconds: float


def adapt(
    model: nn.Module, streams: Mapping[str, Stream], choices: Mapping[str, Sequence[str]], config: Adapt,
    machine: Machine, checkpointer: Checkpointer | None, log: Log,
) -> dict[str, Adapted]:  # fmt: skip
    """Every choice on every set, each from the weights that `model` has, and has again in the end."""
    adapted = {}
    work = {
        run_name(choice, name): stream_work(stream, names, config)
        for choice, names in choices.items()
        for name, stream in streams.items()
    }
    log.plan(work, noun="stream")
    for choice, names in choices.items():
        started = time.perf_counter()
        adapter = Adapter(
            model, names, RULES[config.method], machine, lr=config.lr, steps=config.steps, episodic=config.episodic
        )
        along, order, after = {}, {}, {}
        for name, stream in streams.items():
            predictions = adapter.run(stream, run_name(choice, name), checkpointer, log)
            adapter.restore()
            along[name], order[name] = predictions.along(), predictions.order().numpy()
            if predictions.at_end is not None:
                after[name] = predictions.at_end
        adapted[choice] = Adapted(tuple(names), along, order, after, time.perf_counter() - started)
    return adapted


def run_name(choice: str, name: str) -> str:
    """What the run of a choice on a set is called, in messages and saved states."""
    return f"{choice} {name}"


def stream_work(stream: Stream, names: Sequence[str], config: Adapt) -> SearchWork:
    """One run over a stream in which the tensors `names` adapt, and the pass by the weights at its end."""
    rule, steps = RULES[config.method], config.steps if names else 0
    views = 1 if stream.views is None else config.augmentations
    predicts = not steps or rule.predicts_after or config.episodic
    loops = {STEP: Loop(stream.steps, (1 + BACKWARD) * steps * views + predicts)}
    if not config.episodic:
        loops[PASS] = Loop(stream.steps, 1.0)
    return SearchWork(runs=1, epochs=1, epoch=loops)


def chosen_tensors(model: nn.Module, config: Adapt, log: Log) -> dict[str, list[str]]:
    """Names of the tensors that adapt, by choice, in the order of --blocks; none under the choice `none`.

    Raises RequestError where the method cannot work on this network, and for a choice with nothing to tune in it.
    """
    check(model, config)
    blocks, norms = model_blocks(model, config.merge), set(norm_tensors(model))
    by_choice: dict[str, list[str]] = {}
    for word in config.blocks:
        for choice in blocks.each() if word == "each" else [word]:
            tensors = [name for block in blocks.select(choice) for name in block.tensors]
            names = [name for name in tensors if name in norms] if config.norms_only else tensors
            if names or choice == "none":
                by_choice[choice] = names
            elif word == "each":
                log.note(f"{choice} is left out: no normalisation layer with parameters is there")
            else:
                raise RequestError(
                    f"--blocks {choice}: no normalisation layer with parameters is there.",
                    "--tensors all, or --blocks all",
                )
    if not by_choice:
        raise RequestError(
            f"--blocks each: {type(model).__name__} has no normalisation layer with parameters.", "--tensors all"
        )
    return by_choice


def check(model: nn.Module, config: Adapt) -> None:
    """Raises RequestError where the method cannot work here."""
    if config.method == "tent" and not batch_norms(model):
        raise RequestError(
            f"--method tent normalises by batch statistics, and {type(model).__name__} has no BatchNorm.",
            "--method memo",
        )
    if process_count() > 1:
        raise RequestError(
            f"adapt takes one step after the other, and there are {process_count()} processes.",
            "start it as one process",
        )
