"""What the benchmarks share: the small task they run on, turns taken one after the other, ratios and their print."""

import os
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from ftcli.cache.cache import open_cache
from ftcli.config.training import Training
from ftcli.config.tuning import Finetune, Tuning
from ftcli.context import Context
from ftcli.data.images import ImageSet
from ftcli.engine.device import machine_of
from ftcli.engine.run_inputs import RunInputs, run_inputs_of
from ftcli.engine.train import fit
from ftcli.log import Log
from ftcli.methods.variants import tuning_plan
from ftcli.model.head import fresh_head
from ftcli.model.loading.from_options import open_from_options
from ftcli.model.loading.load import Loaded
from ftcli.run import load_initial_model, match_head_of

BATCH = 64
PHOTO = "pacs/photo.parquet"
CHECKPOINT = "checkpoints/mobilenetv2-imagenet"

Contestant = Callable[[], float]  # takes one turn; gives its seconds


@dataclass(frozen=True)
class World:
    """What a command with this configuration works in, up to the point where its passes begin."""

    config: Training
    loaded: Loaded
    inputs: RunInputs
    log: Log


def world_of(config: Training, images: int | None = None) -> World:
    """Task, model with a fresh head, and loaders; of the training set so many `images`, or all."""
    log, machine = Log(), machine_of(config)
    cache = open_cache(log)
    task = Context(config, log, 0.0, Path(), None, cache, machine).task()
    assert task.train is not None
    if images is not None:
        task = replace(task, train=spread(task.train, images))
    checkpoint = open_from_options(config, config.checkpoint, log)
    loaded = load_initial_model(len(task.classes), config, checkpoint, log)
    loaded = match_head_of(loaded, task, config, log)
    fresh_head(loaded.model, len(task.classes), seed=0)
    return World(config, loaded, run_inputs_of(task, loaded.data_config, machine, config, log, cache), log)


def photo_options(data: Path, **options: Any) -> dict[str, Any]:
    """Options of a command on the photographs of PACS, with the MobileNetV2 at 112 px, one epoch at one rate."""
    fixed = {
        "train": str(data / PHOTO), "checkpoint": str(data / CHECKPOINT), "image_size": 112, "batch_size": BATCH,
        "device": "cpu", "epochs": 1,
    }  # fmt: skip
    return fixed | options


def photo_world(data: Path, images: int | None, **options: Any) -> World:
    return world_of(Finetune(**photo_options(data, **options)), images)


def spread(data: ImageSet, n: int) -> ImageSet:
    """`n` examples of a set, evenly spread over it."""
    if n > len(data):
        sys.exit(f"{data.spec} has {len(data)} training images here, not {n}")
    rows = np.linspace(0, len(data) - 1, n).astype(np.int64)
    return data.select(rows)


def without_id_val(world: World) -> RunInputs:
    """The setting with one picture for ID-val: what an epoch of the loop then takes is its training part."""
    inputs = world.inputs
    assert inputs.task.id_val is not None
    task = replace(inputs.task, id_val=spread(inputs.task.id_val, 1))
    return run_inputs_of(
        task, world.loaded.data_config, inputs.machine, world.config, world.log, inputs.feature_cache.disk
    )


@contextmanager
def own_cache() -> Iterator[Path]:
    """A cache folder of its own, empty at first and gone afterwards."""
    before = os.environ.get("FTCLI_CACHE")
    with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as folder:
        os.environ["FTCLI_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["FTCLI_CACHE"]
            else:
                os.environ["FTCLI_CACHE"] = before


@contextmanager
def as_torch_comes() -> Iterator[None]:
    """Without the deterministic kernels that ftcli asks for: the state in which any other script finds torch."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    )  # fmt: skip
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def timed(work: Callable[[], Any], *, bare: bool = False) -> Contestant:
    """A contestant that does `work`, to the end of what it left to a GPU; `bare`: `as_torch_comes`."""

    def turn() -> float:
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return as_torch_comes()(turn) if bare else turn


def our_epoch(world: World, model: nn.Module, inputs: RunInputs) -> Contestant:
    """One epoch of `fit` on a copy of the model, at the first rate of the configuration."""
    config = world.config
    assert isinstance(config, Tuning)
    plan = tuning_plan(model, config)

    def work() -> None:
        run = fit(deepcopy(model), plan, config.lr[0], config, inputs, 0, world.log)
        if run.diverged:
            sys.exit(f"not a whole epoch: {run.diverged}")

    return timed(work)


def take_turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Seconds of every contestant in every round.

    A first round warms up and does not count. Every second round goes backwards, so that a machine that slows down
    does so for all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name in list(contestants)[:: 1 if number % 2 else -1]:
            taken = contestants[name]()
            print(f"round {number}: {name} {taken:.3f} s", file=sys.stderr, flush=True)
            if number:
                seconds[name].append(taken)
    return seconds


def print_rates(seconds: dict[str, list[float]], images: int) -> None:
    """Median images/s of each, the first being ours, and what ours is of each other: the median over the rounds."""
    ours = next(iter(seconds.values()))
    width = max(map(len, seconds))
    for name, theirs in seconds.items():
        line = f"{name:{width}}  {images / median(theirs):8.1f} images/s"
        print(line if theirs is ours else f"{line}   {ratio(theirs, ours)}")


def ratio(above: list[float], below: list[float]) -> str:
    """The median of the quotients, round by round, with the smallest and the largest."""
    quotients = [a / b for a, b in zip(above, below, strict=True)]
    return f"ratio {median(quotients):.3f} ({min(quotients):.3f} … {max(quotients):.3f})"


def print_machine() -> None:
    """What the figures depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "numpy", "scikit-learn"))
    device = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    print(f"{versions}; {torch.get_num_threads()} threads of {os.cpu_count()} cores{device}", flush=True)


def parser(description: str | None, *, images: int | None, rounds: int = 5) -> ArgumentParser:
    """The arguments that most of these scripts take."""
    made = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help=f"folder that holds {PHOTO} and {CHECKPOINT}")
    made.add_argument("--pairs", type=int, default=rounds, help=f"rounds that count ({rounds})")
    made.add_argument("--threads", type=int, help="CPU threads (all cores)")
    if images:
        made.add_argument("--images", type=int, default=images, help=f"images per turn ({images})")
    return made
